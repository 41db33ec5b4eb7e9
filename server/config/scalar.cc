#include "config/scalar.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"

namespace fetchd::server {
namespace {

constexpr std::pair<absl::string_view, uint64_t> kSizeUnits[] = {
    {"GiB", uint64_t{1} << 30}, {"MiB", uint64_t{1} << 20}, {"KiB", uint64_t{1} << 10}};
constexpr std::pair<absl::string_view, int64_t> kDurationUnits[] = {
    {"h", 3'600'000'000'000}, {"m", 60'000'000'000}, {"s", 1'000'000'000}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};

}  // namespace

std::optional<Duration> ParseDuration(absl::string_view text) {
  // Abseil also takes a sign, "inf" and a bare 0.
  if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text.front()))) return std::nullopt;
  if (!absl::ascii_isalpha(static_cast<unsigned char>(text.back()))) return std::nullopt;
  absl::Duration parsed;
  if (!absl::ParseDuration(text, &parsed)) return std::nullopt;
  if (parsed < absl::ZeroDuration() || parsed > absl::Hours(1'000'000)) return std::nullopt;
  return absl::ToChronoNanoseconds(parsed);
}

std::string DurationText(Duration d) {
  if (d == Duration::zero()) return "0s";
  for (const auto& [unit, length] : kDurationUnits) {
    if (d.count() % length == 0) return absl::StrCat(d.count() / length, unit);
  }
  return absl::StrCat(d.count(), "ns");
}

std::optional<uint64_t> ParseNumber(absl::string_view text) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::optional<uint64_t> ParseSize(absl::string_view text) {
  for (const auto& [unit, bytes] : kSizeUnits) {
    if (!absl::ConsumeSuffix(&text, unit)) continue;
    text = absl::StripTrailingAsciiWhitespace(text);
    double n = 0;
    if (text.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(text.front())) ||
        text.find_first_not_of("0123456789.") != absl::string_view::npos || !absl::SimpleAtod(text, &n)) {
      return std::nullopt;
    }
    const double product = n * static_cast<double>(bytes);
    if (product > 0x1p53 || product != std::floor(product)) return std::nullopt;
    return static_cast<uint64_t>(product);
  }
  return ParseNumber(text);
}

std::string SizeText(uint64_t bytes) {
  for (const auto& [unit, size] : kSizeUnits) {
    if (bytes >= size && bytes % size == 0) return absl::StrCat(bytes / size, unit);
  }
  return absl::StrCat(bytes);
}

std::optional<double> ParseDecimal(absl::string_view text) {
  const auto is_digit = [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); };
  if (text.empty() || !is_digit(text.front()) || !is_digit(text.back())) return std::nullopt;
  double n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

std::string DecimalText(double number) {
  char text[512];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed);
  return error == std::errc() ? std::string(text, end) : "";
}

std::optional<Endpoint> ParseEndpoint(absl::string_view text, std::optional<uint16_t> default_port) {
  absl::string_view host = text;
  std::optional<absl::string_view> port;
  if (absl::ConsumePrefix(&host, "[")) {
    const size_t close = host.find(']');
    if (close == absl::string_view::npos) return std::nullopt;
    absl::string_view rest = host.substr(close + 1);
    host = host.substr(0, close);
    if (host.find(':') == absl::string_view::npos) return std::nullopt;
    if (absl::ConsumePrefix(&rest, ":")) {
      port = rest;
    } else if (!rest.empty()) {
      return std::nullopt;
    }
  } else if (const size_t colon = host.rfind(':'); colon != absl::string_view::npos) {
    if (host.find(':') == colon) {
      port = host.substr(colon + 1);
      host = host.substr(0, colon);
    } else if (!default_port.has_value()) {
      return std::nullopt;  // IPv6 without brackets: which of the colons would be the port's?
    }
  }
  const std::optional<IpAddress> address = IpAddress::Parse(std::string(host));
  if (!address.has_value()) return std::nullopt;
  if (!port.has_value()) {
    if (!default_port.has_value()) return std::nullopt;
    return Endpoint{.address = *address, .port = *default_port};
  }
  const std::optional<uint64_t> number = ParseNumber(*port);
  if (!number.has_value() || *number > std::numeric_limits<uint16_t>::max()) return std::nullopt;
  if (*number == 0 && default_port.has_value()) return std::nullopt;
  return Endpoint{.address = *address, .port = static_cast<uint16_t>(*number)};
}

std::optional<std::pair<uint16_t, uint16_t>> ParsePorts(absl::string_view text) {
  const size_t dash = text.find('-');
  const auto first = ParseNumber(text.substr(0, dash));
  const auto last = dash == absl::string_view::npos ? first : ParseNumber(text.substr(dash + 1));
  if (!first.has_value() || !last.has_value() || *first == 0 || *first > *last || *last > 65535) return std::nullopt;
  return std::pair(static_cast<uint16_t>(*first), static_cast<uint16_t>(*last));
}

bool IsLoopback(const IpAddress& address) {
  if (address.is_v4()) return address.bytes()[0] == 127;
  return address == IpAddress::V6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
}

}  // namespace fetchd::server
