#include "model/url.h"

#include <algorithm>
#include <array>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

using absl::InvalidArgumentError;

std::string_view View(boost::urls::string_view s) { return {s.data(), s.size()}; }

constexpr uint16_t DefaultPort(Scheme scheme) { return scheme == Scheme::kHttps ? 443 : 80; }

constexpr bool IsUnreserved(char c) { return IsAlnum(c) || c == '-' || c == '.' || c == '_' || c == '~'; }

// May stand in path or query as it is (RFC 3986 appendix A, pchar and "/?"), percent-encodings aside.
constexpr std::array<bool, 256> kTargetCharacters = [] {
  std::array<bool, 256> table{};
  for (int c = 0; c < 128; ++c) table[static_cast<size_t>(c)] = IsUnreserved(static_cast<char>(c));
  for (const char c : std::string_view("!$&'()*+,;=:@/?")) table[static_cast<unsigned char>(c)] = true;
  return table;
}();
bool IsTargetCharacter(char c) { return kTargetCharacters[static_cast<unsigned char>(c)]; }

// Stands in a host name that needs no lowering.
constexpr std::array<bool, 256> kPlainHostCharacters = [] {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789-_.")) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();
bool IsPlainHostCharacter(char c) { return kPlainHostCharacters[static_cast<unsigned char>(c)]; }

void AppendEncoded(char c, std::string& out) {
  constexpr char kHex[] = "0123456789ABCDEF";
  auto byte = static_cast<unsigned char>(c);
  out.push_back('%');
  out.push_back(kHex[byte >> 4]);
  out.push_back(kHex[byte & 15]);
}

bool IsEscape(std::string_view text, size_t at) {
  return at + 2 < text.size() && IsHexDigit(text[at + 1]) && IsHexDigit(text[at + 2]);
}

// Blanks, control and non-ASCII characters have no place in a URL, wherever they stand.
absl::Status CheckCharacters(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == ' ') return InvalidArgumentError(Concat("blank at byte ", i, "; write %20"));
    if (c < 0x20 || c == 0x7f) return InvalidArgumentError(Concat("control character at byte ", i));
    if (c >= 0x80) {
      return InvalidArgumentError(
          Concat("non-ASCII character at byte ", i, "; percent-encode it, write host names in punycode"));
    }
  }
  return absl::OkStatus();
}

// Path and query with everything encoded that RFC 3986 does not let stand there. What is encoded already stays.
absl::StatusOr<std::string> EncodeRest(std::string_view rest) {
  std::string out;
  out.reserve(rest.size());
  for (size_t i = 0; i < rest.size(); ++i) {
    char c = rest[i];
    if (IsTargetCharacter(c)) {
      out.push_back(c);
    } else if (c != '%') {
      AppendEncoded(c, out);
    } else if (IsEscape(rest, i)) {
      out.push_back(c);
    } else {
      return InvalidArgumentError("% without two hexadecimal digits in path or query; write %25");
    }
  }
  return out;
}

// RFC 3986 section 5.2.4, for paths that begin with a slash. Segments are taken as they are: %2E is no dot.
std::string RemoveDotSegments(std::string_view path) {
  if (path.find("/.") == path.npos) return std::string(path);
  std::vector<std::string_view> kept;
  std::vector<std::string_view> segments = Split(path.substr(1), '/');
  for (size_t i = 0; i < segments.size(); ++i) {
    bool dots = segments[i] == "." || segments[i] == "..";
    if (segments[i] == ".." && !kept.empty()) kept.pop_back();
    if (!dots) kept.push_back(segments[i]);
    if (dots && i + 1 == segments.size()) kept.emplace_back();
  }
  std::string out;
  for (std::string_view segment : kept) out.append("/").append(segment);
  return out.empty() ? "/" : out;
}

constexpr size_t kMaxHostSize = 253;
constexpr size_t kMaxLabelSize = 63;

// RFC 1123 section 2.1, and underscores, which live hosts have.
absl::Status CheckHostName(std::string_view host) {
  if (host.ends_with(".")) host.remove_suffix(1);
  if (host.size() > kMaxHostSize) return InvalidArgumentError("host name is longer than 253 bytes");
  std::string_view last;
  for (std::string_view label : Split(host, '.')) {
    last = label;
    if (label.empty()) return InvalidArgumentError("host name has an empty label");
    if (label.size() > kMaxLabelSize) return InvalidArgumentError("host name has a label longer than 63 bytes");
    if (label.front() == '-' || label.back() == '-') {
      return InvalidArgumentError("host name has a label that begins or ends with a hyphen");
    }
    for (char c : label) {
      if (!IsAlnum(c) && c != '-' && c != '_') {
        return InvalidArgumentError(Concat("host name has the character '", std::string_view(&c, 1), "'"));
      }
    }
  }
  // The "ends in a number" rule of the WHATWG URL standard: resolvers would read such names as IPv4 addresses, each in
  // its own way, so only the one undisputed form is taken (by the caller), and this is not it.
  bool number = last.find_first_not_of("0123456789") == last.npos;
  bool hex = last.starts_with("0x") && last.find_first_not_of("0123456789abcdef", 2) == last.npos;
  if (number || hex) return InvalidArgumentError("host looks like an IPv4 address but is not four decimal numbers");
  return absl::OkStatus();
}

absl::StatusOr<uint16_t> ParsePort(std::string_view digits, Scheme scheme) {
  if (digits.empty()) return DefaultPort(scheme);
  std::optional<uint32_t> port = ParseDecimal<uint32_t>(digits);
  if (!port.has_value() || *port == 0 || *port > 65535) {
    return InvalidArgumentError("port must be 1 to 65535");
  }
  return static_cast<uint16_t>(*port);
}

// The host, in lower case, and the port of what stands before path and query.
//
// Not left to Boost.URL: 1.81 takes "1.2.3.4.example.com" for the address 1.2.3.4 and the path ".example.com", which is
// how a guard and a resolver come to disagree.
struct Authority {
  std::string host;
  std::optional<IpAddress> address;
  uint16_t port = 0;
};
absl::StatusOr<Authority> ParseAuthority(std::string_view text, Scheme scheme) {
  if (text.find('@') != text.npos) {
    return InvalidArgumentError("user info is not allowed; use an authorization header");
  }
  if (text.find('\\') != text.npos) return InvalidArgumentError("backslash in the host");
  if (text.find('%') != text.npos) {
    return InvalidArgumentError(text.front() == '[' ? "zone ids are not allowed"
                                                    : "percent-encoding in the host is not allowed");
  }
  Authority authority;
  std::string_view port;
  if (text.starts_with('[')) {
    size_t end = text.find(']');
    if (end == text.npos) return InvalidArgumentError("IPv6 address without closing bracket");
    authority.address = IpAddress::Parse(text.substr(1, end - 1));
    if (!authority.address.has_value() || authority.address->is_v4()) {
      return InvalidArgumentError("malformed IPv6 address in brackets");
    }
    port = text.substr(end + 1);
    if (!port.empty() && port.front() != ':') return InvalidArgumentError("malformed port after the IPv6 address");
  } else {
    size_t colon = text.find(':');
    if (colon != text.rfind(':')) {
      return InvalidArgumentError("more than one colon in the host; put IPv6 addresses in brackets");
    }
    std::string_view host = text.substr(0, colon);
    if (host.empty()) return InvalidArgumentError("host is empty");
    if (colon != text.npos) port = text.substr(colon);
    authority.host = Lower(host);
    authority.address = IpAddress::Parse(authority.host);
  }
  if (authority.address.has_value()) {
    authority.host = authority.address->ToString();
  } else if (absl::Status status = CheckHostName(authority.host); !status.ok()) {
    return status;
  }
  if (!port.empty()) port.remove_prefix(1);
  absl::StatusOr<uint16_t> number = ParsePort(port, scheme);
  if (!number.ok()) return number.status();
  authority.port = *number;
  return authority;
}

std::string Decode(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out.push_back(' ');
    } else if (text[i] == '%' && IsEscape(text, i)) {
      unsigned byte = 0;
      std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
      out.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string Encode(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (IsUnreserved(c)) {
      out.push_back(c);
    } else {
      AppendEncoded(c, out);
    }
  }
  return out;
}

bool IsScheme(std::string_view text) {
  if (text.empty() || !IsAlpha(text[0])) return false;
  for (char c : text)
    if (!IsAlnum(c) && c != '+' && c != '-' && c != '.') return false;
  return true;
}

// Splits "path?query" at the first question mark; the query keeps it.
std::pair<std::string_view, std::string_view> SplitQuery(std::string_view target) {
  size_t mark = target.find('?');
  if (mark == target.npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark)};
}

// Whether a host of plain characters is a name for certain: CheckHostName takes it. A last label that begins with a
// digit is left to that one.
bool IsPlainHostName(std::string_view host) {
  size_t label_size = 0;
  char last = '.';
  bool begins_with_digit = false;
  for (const char c : host) {
    if (c == '.') {
      if (label_size == 0 || last == '-') return false;
      label_size = 0;
    } else if (label_size == 0) {
      if (c == '-') return false;
      begins_with_digit = IsDigit(c);
      label_size = 1;
    } else if (++label_size > kMaxLabelSize) {
      return false;
    }
    last = c;
  }
  return label_size > 0 && last != '-' && !begins_with_digit && host.size() <= kMaxHostSize;
}

}  // namespace

std::string Origin::ToString() const {
  std::string_view name = scheme == Scheme::kHttps ? "https" : "http";
  return host.find(':') == host.npos ? Concat(name, "://", host, ":", port) : Concat(name, "://[", host, "]:", port);
}

bool Url::ParsePlain(std::string_view text, Url& url) {
  url.origin_.scheme = text.starts_with(SchemePrefix(Scheme::kHttps)) ? Scheme::kHttps : Scheme::kHttp;
  const std::string_view prefix = SchemePrefix(url.origin_.scheme);
  if (!text.starts_with(prefix)) return false;

  std::string_view rest = text.substr(prefix.size());
  const auto host_end = std::find_if_not(rest.begin(), rest.end(), IsPlainHostCharacter);
  const std::string_view host = rest.substr(0, static_cast<size_t>(host_end - rest.begin()));
  rest.remove_prefix(host.size());
  const std::string_view last_label = host.substr(host.rfind('.') + 1);
  if (!last_label.empty() && IsDigit(last_label.front())) {
    // The one form of IPv4 address that is taken is the normal form.
    url.host_address_ = IpAddress::Parse(host);
    if (!url.host_address_.has_value()) return false;
  } else if (!IsPlainHostName(host)) {
    return false;
  }

  url.origin_.port = DefaultPort(url.origin_.scheme);
  if (rest.starts_with(':')) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), port);
    // Leading zeros and the default port are not the normal form.
    if (error != std::errc() || rest[1] == '0' || port == url.origin_.port) return false;
    url.origin_.port = port;
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
  }

  const size_t target_size = std::max<size_t>(rest.size(), 1);
  const size_t target_at = text.size() - rest.size();
  if ((!rest.empty() && rest.front() != '/') || target_at + target_size > kMaxSize) return false;
  for (size_t i = 0; i < rest.size(); ++i)
    if (!IsTargetCharacter(rest[i]) && !(rest[i] == '%' && IsEscape(rest, i))) return false;
  if (rest.substr(0, rest.find('?')).find("/.") != rest.npos) return false;

  url.origin_.host = host;
  url.text_.reserve(target_at + target_size);
  url.text_ = text;
  if (rest.empty()) url.text_.push_back('/');
  url.target_at_ = target_at;
  return true;
}

absl::StatusOr<Url> Url::Parse(std::string_view text) {
  if (text.empty()) return InvalidArgumentError("URL is empty");
  if (text.size() > kMaxSize) return InvalidArgumentError(Concat("URL is longer than ", kMaxSize, " bytes"));
  if (Url url; ParsePlain(text, url)) return url;
  if (absl::Status status = CheckCharacters(text); !status.ok()) return status;
  text = text.substr(0, text.find('#'));

  size_t colon = text.find(':');
  if (colon == text.npos || !IsScheme(text.substr(0, colon))) {
    return InvalidArgumentError("URL must be absolute, as in https://host/path");
  }
  Url url;
  std::string scheme = Lower(text.substr(0, colon));
  if (scheme == "https") {
    url.origin_.scheme = Scheme::kHttps;
  } else if (scheme != "http") {
    // "localhost:8080/path" is a URL with the scheme "localhost" to the letter, but a forgotten scheme in fact.
    if (!text.substr(colon).starts_with("://") && colon + 1 < text.size() && IsDigit(text[colon + 1])) {
      return InvalidArgumentError("URL must be absolute, as in https://host/path");
    }
    return absl::PermissionDeniedError(Concat("scheme '", scheme, "' is not allowed; only http and https are"));
  }
  std::string_view rest = text.substr(colon + 1);
  if (!rest.starts_with("//")) return InvalidArgumentError("URL has no host; write // after the scheme");
  rest.remove_prefix(2);
  std::string_view authority_text = rest.substr(0, rest.find_first_of("/?"));
  rest.remove_prefix(authority_text.size());
  absl::StatusOr<Authority> authority = ParseAuthority(authority_text, url.origin_.scheme);
  if (!authority.ok()) return authority.status();
  absl::StatusOr<std::string> encoded = EncodeRest(rest);
  if (!encoded.ok()) return encoded.status();
  if (!encoded->starts_with('/')) encoded = Concat("/", *encoded);
  auto parsed = boost::urls::parse_origin_form(*encoded);
  if (parsed.has_error()) return InvalidArgumentError("malformed path or query: " + parsed.error().message());
  const boost::urls::url_view& target = *parsed;

  url.origin_.port = authority->port;
  url.origin_.host = std::move(authority->host);
  url.host_address_ = authority->address;
  bool brackets = url.host_address_.has_value() && !url.host_address_->is_v4();
  url.text_ = Concat(SchemePrefix(url.origin_.scheme), brackets ? "[" : "", url.origin_.host, brackets ? "]" : "");
  if (url.origin_.port != DefaultPort(url.origin_.scheme)) url.text_ += Concat(":", url.origin_.port);
  url.target_at_ = url.text_.size();
  url.text_ += RemoveDotSegments(View(target.encoded_path()));
  if (target.has_query()) url.text_.append("?").append(View(target.encoded_query()));
  // Encoding may have tripled it.
  if (url.text_.size() > kMaxSize) return InvalidArgumentError(Concat("URL is longer than ", kMaxSize, " bytes"));
  return url;
}

absl::StatusOr<Url> Url::Resolve(std::string_view reference) const {
  constexpr std::string_view kBlanks = " \t\r\n";
  reference.remove_prefix(std::min(reference.find_first_not_of(kBlanks), reference.size()));
  reference = reference.substr(0, reference.find_last_not_of(kBlanks) + 1);
  reference = reference.substr(0, reference.find('#'));
  // References come from origins, which send what browsers put up with.
  std::string ref;
  ref.reserve(reference.size());
  for (size_t i = 0; i < reference.size(); ++i) {
    auto c = static_cast<unsigned char>(reference[i]);
    if (c == ' ' || c >= 0x80 || (c == '%' && !IsEscape(reference, i))) {
      AppendEncoded(reference[i], ref);
    } else {
      ref.push_back(reference[i]);
    }
  }
  // RFC 3986 section 5.2.2; Parse removes the dot segments.
  size_t colon = ref.find_first_of(":/?");
  if (colon != ref.npos && ref[colon] == ':' && IsScheme(std::string_view(ref).substr(0, colon))) return Parse(ref);
  std::string_view site = std::string_view(text_).substr(0, target_at_);
  if (ref.starts_with("//")) return Parse(Concat(site.substr(0, site.find(':') + 1), ref));
  if (ref.starts_with("/")) return Parse(Concat(site, ref));
  auto [path, query] = SplitQuery(target());
  if (ref.empty()) return *this;
  if (ref[0] == '?') return Parse(Concat(site, path, ref));
  return Parse(Concat(site, path.substr(0, path.rfind('/') + 1), ref));
}

absl::StatusOr<Url> Url::WithQueryParam(std::string_view name, std::string_view value, bool drop_others) const {
  auto [path, query] = SplitQuery(target());
  std::string replacement = Concat(Encode(name), "=", Encode(value));
  std::vector<std::string_view> pieces;
  bool placed = false;
  if (query.size() > 1) {
    for (std::string_view piece : Split(query.substr(1), '&')) {
      bool same = Decode(piece.substr(0, piece.find('='))) == name;
      if (same && !placed) {
        pieces.push_back(replacement);
        placed = true;
      } else if (!same && !drop_others) {
        pieces.push_back(piece);
      }
    }
  }
  if (!placed) pieces.push_back(replacement);
  std::string text = Concat(std::string_view(text_).substr(0, target_at_), path);
  char separator = '?';
  for (std::string_view piece : pieces) {
    text.append(1, separator).append(piece);
    separator = '&';
  }
  return Parse(text);
}

std::string_view Url::Redacted(std::string& scratch) const {
  auto [path, query] = SplitQuery(target());
  if (query.size() <= 1) return text_;
  scratch.clear();
  // A "*" may stand where there was nothing.
  scratch.reserve(text_.size() + 16);
  // Up to the question mark, then piece by piece, each after its separator.
  scratch.append(text_, 0, target_at_ + path.size());
  while (!query.empty()) {
    scratch.push_back(query.front());
    query.remove_prefix(1);
    const std::string_view piece = query.substr(0, query.find('&'));
    query.remove_prefix(piece.size());
    const size_t equals = piece.find('=');
    // A piece without a name might be a secret all by itself.
    if (equals != piece.npos) scratch += piece.substr(0, equals + 1);
    if (!piece.empty()) scratch.push_back('*');
  }
  return scratch;
}

std::string Url::Redacted() const {
  std::string scratch;
  std::string_view redacted = Redacted(scratch);
  if (scratch.empty()) scratch = redacted;
  return scratch;
}

}  // namespace fetchd::server
