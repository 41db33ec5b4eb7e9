#include "config/schema.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "config/proxies.h"
#include "config/scalar.h"
#include "fetchd/config/v1/options.pb.h"
#include "model/ip_address.h"
#include "model/no_proxy.h"
#include "policy/patterns.h"

namespace fetchd::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
namespace v1 = ::fetchd::config::v1;

constexpr absl::string_view kDurationType = "google.protobuf.Duration";

const v1::Rule& RuleOf(const FieldDescriptor& key) { return key.options().GetExtension(v1::rule); }

bool IsDuration(const FieldDescriptor& key) {
  return key.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && key.message_type()->full_name() == kDurationType;
}

bool IsDecimal(const FieldDescriptor& key) { return key.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE; }

// "tls1_2" of MIN_VERSION_TLS1_2: enum values carry the name of their type in front.
std::string EnumText(const EnumValueDescriptor& value) {
  std::string prefix;
  for (const char c : value.type()->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(c));
  }
  return absl::AsciiStrToLower(value.name().substr(prefix.size() + 1));
}

std::vector<std::string> EnumTexts(const EnumDescriptor& type) {
  std::vector<std::string> texts;
  for (int i = 1; i < type.value_count(); ++i) texts.push_back(EnumText(*type.value(i)));
  return texts;
}

// A number, size or duration as a number that can be compared.
std::optional<uint64_t> Measure(const FieldDescriptor& key, absl::string_view text) {
  if (IsDuration(key)) {
    const std::optional<Duration> d = ParseDuration(text);
    if (!d.has_value()) return std::nullopt;
    return static_cast<uint64_t>(d->count());
  }
  return RuleOf(key).format() == v1::FORMAT_SIZE ? ParseSize(text) : ParseNumber(text);
}

bool InRange(const FieldDescriptor& key, double value) {
  const v1::Rule& rule = RuleOf(key);
  return value >= *ParseDecimal(rule.min()) && value <= *ParseDecimal(rule.max());
}

bool InRange(const FieldDescriptor& key, uint64_t value) {
  const v1::Rule& rule = RuleOf(key);
  // Of a list `min` and `max` are about its length.
  if (rule.format() == v1::FORMAT_ERROR_STATUS) return value >= 400 && value <= 599;
  if (!rule.min().empty() && value < *Measure(key, rule.min())) return false;
  return rule.max().empty() || value <= *Measure(key, rule.max());
}

bool IsHeaderName(absl::string_view text) {
  constexpr absl::string_view kTokenMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && text.size() <= 256 && std::all_of(text.begin(), text.end(), [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return absl::ascii_islower(byte) || absl::ascii_isdigit(byte) || kTokenMarks.find(c) != absl::string_view::npos;
  });
}

bool IsName(absl::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
}

bool MatchesFormat(v1::Format format, const std::string& text) {
  switch (format) {
    case v1::FORMAT_NAME:
      return IsName(text);
    case v1::FORMAT_NAME_PATTERN:
      return IsCallerPattern(text);
    case v1::FORMAT_LISTEN_ADDRESS:
      return ParseEndpoint(text).has_value();
    case v1::FORMAT_SERVER_ADDRESS:
      return ParseEndpoint(text, uint16_t{53}).has_value();
    case v1::FORMAT_CIDR:
      return Cidr::Parse(text).has_value();
    case v1::FORMAT_PORT_RANGE:
      return ParsePorts(text).has_value();
    case v1::FORMAT_HEADER_NAME:
      return IsHeaderName(text);
    default:
      return !text.empty();
  }
}

// For formats with much to say about a text that is not of theirs.
absl::Status CheckFormat(v1::Format format, const std::string& text) {
  switch (format) {
    case v1::FORMAT_HOST_PATTERN:
      return CheckHostPattern(text);
    case v1::FORMAT_PROXY_URL:
      return ParseProxyUrl(text).status();
    case v1::FORMAT_NO_PROXY:
      return NoProxyRule::Parse(text).status();
    default:
      return absl::OkStatus();
  }
}

absl::string_view FormatText(v1::Format format) {
  switch (format) {
    case v1::FORMAT_LISTEN_ADDRESS:
      return "an IP address with a port, such as 127.0.0.1:50051 or [::1]:50051";
    case v1::FORMAT_SERVER_ADDRESS:
      return "an IP address with or without a port, such as 192.0.2.1 or [2001:db8::1]:53";
    case v1::FORMAT_CIDR:
      return "an address block without host bits, such as 10.0.0.0/8 or fd00::/8";
    case v1::FORMAT_PORT_RANGE:
      return "a port from 1 to 65535 or a range of them, such as 443 or 8000-8999";
    case v1::FORMAT_HEADER_NAME:
      return "the name of a header in lower case, such as user-agent";
    case v1::FORMAT_FILE:
      return "the path of a file";
    case v1::FORMAT_HOST_PATTERN:
      return "a host as it stands in URLs, such as api.example.com, *.example.com, 192.0.2.1 or *";
    case v1::FORMAT_PROXY_URL:
      return "a proxy such as http://proxy.example.com:3128 or socks5://192.0.2.1:1080";
    case v1::FORMAT_NO_PROXY:
      return "a host, an address or *, such as example.com, .example.com, 192.0.2.1 or 10.0.0.0/8";
    case v1::FORMAT_NAME:
      return "a name of 1 to 64 of A-Z a-z 0-9 . _ -";
    case v1::FORMAT_NAME_PATTERN:
      return "a caller, or callers with a * at the start or the end, such as batch-*";
    default:
      return "a text that is not empty";
  }
}

void SetMeasured(Message& message, const FieldDescriptor& key, uint64_t value) {
  const Reflection& reflection = *message.GetReflection();
  if (IsDuration(key)) {
    Message& duration = *reflection.MutableMessage(&message, &key);
    const auto nanos = static_cast<int64_t>(value);
    const Descriptor& type = *duration.GetDescriptor();
    const Reflection& inner = *duration.GetReflection();
    inner.SetInt64(&duration, type.FindFieldByName("seconds"), nanos / 1'000'000'000);
    inner.SetInt32(&duration, type.FindFieldByName("nanos"), static_cast<int32_t>(nanos % 1'000'000'000));
  } else if (key.is_repeated()) {
    reflection.AddUInt32(&message, &key, static_cast<uint32_t>(value));
  } else if (key.cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
    reflection.SetUInt64(&message, &key, value);
  } else {
    reflection.SetUInt32(&message, &key, static_cast<uint32_t>(value));
  }
}

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({change, row[j] + 1, row[j - 1] + 1}));
    }
  }
  return row[b.size()];
}

void AppendKeyPaths(const Descriptor& type, const std::string& prefix, std::vector<std::string>& out) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& key = *type.field(i);
    if (IsSection(key) && key.is_repeated()) {
      for (int n = 0; n < key.message_type()->field_count(); ++n) {
        out.push_back(absl::StrCat(prefix, key.name(), "[].", key.message_type()->field(n)->name()));
      }
    } else if (IsSection(key)) {
      AppendKeyPaths(*key.message_type(), absl::StrCat(prefix, key.name(), "."), out);
    } else {
      out.push_back(absl::StrCat(prefix, key.name()));
    }
  }
}

// A list would be appended to by a merge, and a duration's zero parts left as they were.
void ForgetWhatIsSetIn(const Message& changes, Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& key = *type.field(i);
    const bool set = key.is_repeated() ? reflection.FieldSize(changes, &key) > 0 : reflection.HasField(changes, &key);
    if (!set) continue;
    if (IsSection(key) && !key.is_repeated()) {
      ForgetWhatIsSetIn(reflection.GetMessage(changes, &key), *reflection.MutableMessage(&message, &key));
    } else {
      reflection.ClearField(&message, &key);
    }
  }
}

}  // namespace

bool IsSection(const FieldDescriptor& key) {
  return key.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !IsDuration(key);
}

std::string Accepted(const FieldDescriptor& key) {
  const v1::Rule& rule = RuleOf(key);
  if (IsSection(key)) return "a mapping of keys";
  if (rule.format() == v1::FORMAT_ERROR_STATUS) return "the status of an error, from 400 to 599";
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(EnumTexts(*key.enum_type()), ", "));
    case FieldDescriptor::CPPTYPE_STRING:
      return std::string(FormatText(rule.format()));
    default:
      break;
  }
  std::string what = IsDuration(key)                    ? "a duration such as 250ms, 1.5s or 10m"
                     : rule.format() == v1::FORMAT_SIZE ? "a size such as 65536, 64KiB or 3.5MiB"
                     : IsDecimal(key)                   ? "a number such as 0.5"
                                                        : "a whole number";
  if (!rule.min().empty() && !rule.max().empty()) absl::StrAppend(&what, ", from ", rule.min(), " to ", rule.max());
  return what;
}

std::optional<std::string> SetValue(Message& message, const FieldDescriptor& key, const std::string& text) {
  const Reflection& reflection = *message.GetReflection();
  const auto refuse = [&] { return absl::StrCat("\"", text, "\" is not ", Accepted(key)); };
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return refuse();
      reflection.SetBool(&message, &key, text == "true");
      return std::nullopt;
    case FieldDescriptor::CPPTYPE_ENUM:
      for (int i = 1; i < key.enum_type()->value_count(); ++i) {
        const EnumValueDescriptor* value = key.enum_type()->value(i);
        if (EnumText(*value) != text) continue;
        reflection.SetEnum(&message, &key, value);
        return std::nullopt;
      }
      return refuse();
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      const std::optional<double> number = ParseDecimal(text);
      if (!number.has_value() || !InRange(key, *number)) return refuse();
      reflection.SetDouble(&message, &key, *number);
      return std::nullopt;
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (const absl::Status status = CheckFormat(RuleOf(key).format(), text); !status.ok()) {
        return absl::StrCat(refuse(), "; ", status.message());
      }
      if (!MatchesFormat(RuleOf(key).format(), text)) return refuse();
      if (!key.is_repeated()) {
        reflection.SetString(&message, &key, text);
        return std::nullopt;
      }
      for (int i = 0; i < reflection.FieldSize(message, &key); ++i) {
        if (reflection.GetRepeatedString(message, &key, i) == text)
          return absl::StrCat("\"", text, "\" is listed twice");
      }
      reflection.AddString(&message, &key, text);
      return std::nullopt;
    default: {
      const std::optional<uint64_t> value = Measure(key, text);
      if (!value.has_value() || !InRange(key, *value)) return refuse();
      for (int i = 0; key.is_repeated() && i < reflection.FieldSize(message, &key); ++i) {
        if (reflection.GetRepeatedUInt32(message, &key, i) == *value) return absl::StrCat(text, " is listed twice");
      }
      SetMeasured(message, key, *value);
      return std::nullopt;
    }
  }
}

std::optional<std::string> CheckListSize(const Message& message, const FieldDescriptor& key) {
  const v1::Rule& rule = RuleOf(key);
  const auto size = static_cast<uint64_t>(message.GetReflection()->FieldSize(message, &key));
  if (!rule.min().empty() && size < *ParseNumber(rule.min())) {
    return absl::StrCat("needs at least ", rule.min(), " of: ", Accepted(key));
  }
  if (!rule.max().empty() && size > *ParseNumber(rule.max())) {
    return absl::StrCat("has ", size, " items; at most ", rule.max(), " are accepted");
  }
  return std::nullopt;
}

std::string ValueText(const Message& message, const FieldDescriptor& key, int index) {
  const Reflection& reflection = *message.GetReflection();
  switch (key.cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.GetBool(message, &key) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(*reflection.GetEnum(message, &key));
    case FieldDescriptor::CPPTYPE_STRING:
      return index >= 0 ? reflection.GetRepeatedString(message, &key, index) : reflection.GetString(message, &key);
    case FieldDescriptor::CPPTYPE_UINT64: {
      const uint64_t value = reflection.GetUInt64(message, &key);
      return RuleOf(key).format() == v1::FORMAT_SIZE ? SizeText(value) : absl::StrCat(value);
    }
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(index >= 0 ? reflection.GetRepeatedUInt32(message, &key, index)
                                     : reflection.GetUInt32(message, &key));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return DecimalText(reflection.GetDouble(message, &key));
    default: {
      const Message& duration = reflection.GetMessage(message, &key);
      const Descriptor& type = *duration.GetDescriptor();
      const Reflection& inner = *duration.GetReflection();
      return DurationText(std::chrono::seconds(inner.GetInt64(duration, type.FindFieldByName("seconds"))) +
                          std::chrono::nanoseconds(inner.GetInt32(duration, type.FindFieldByName("nanos"))));
    }
  }
}

void FillDefaults(Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& key = *type.field(i);
    if (IsSection(key)) {
      if (!key.is_repeated()) FillDefaults(*reflection.MutableMessage(&message, &key));
      continue;
    }
    const std::string& text = RuleOf(key).default_();
    if (text.empty()) continue;
    if (key.is_repeated() ? reflection.FieldSize(message, &key) > 0 : reflection.HasField(message, &key)) continue;
    // A list's default is one item or more, separated by ", ".
    const std::vector<std::string> items =
        key.is_repeated() ? std::vector<std::string>(absl::StrSplit(text, ", ")) : std::vector<std::string>{text};
    for (const std::string& item : items) {
      if (SetValue(message, key, item).has_value()) std::abort();
    }
  }
}

void Overlay(const Message& changes, Message& message) {
  ForgetWhatIsSetIn(changes, message);
  message.MergeFrom(changes);
}

std::vector<std::string> KeyPaths(const Descriptor& type) {
  std::vector<std::string> paths;
  AppendKeyPaths(type, "", paths);
  return paths;
}

std::string NearestKey(const Descriptor& type, absl::string_view section, absl::string_view unknown) {
  const FieldDescriptor* nearest = nullptr;
  size_t nearest_distance = unknown.size() / 3 + 1;
  for (int i = 0; i < type.field_count(); ++i) {
    const size_t distance = EditDistance(unknown, type.field(i)->name());
    if (distance > nearest_distance || (nearest != nullptr && distance == nearest_distance)) continue;
    nearest = type.field(i);
    nearest_distance = distance;
  }
  if (nearest != nullptr) return absl::StrCat(section, section.empty() ? "" : ".", nearest->name());
  // The right key in the wrong section.
  for (const std::string& path : KeyPaths(*ServerConfig::descriptor())) {
    if (absl::EndsWith(path, absl::StrCat(".", unknown)) || path == unknown) return path;
  }
  return "";
}

}  // namespace fetchd::server
