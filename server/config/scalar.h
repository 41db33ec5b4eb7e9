// Scalars of the configuration as text and as values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "model/ip_address.h"

namespace fetchd::server {

// "1.5s", "250ms", "10m", "1m30s", "0s"; units ns, us, ms, s, m, h. Not negative, not "inf", not without a unit.
std::optional<Duration> ParseDuration(absl::string_view text);
// In the largest unit that is exact, such as "90s" or "10m".
std::string DurationText(Duration d);

// Bytes: "65536", "64KiB", "3.5MiB", "1GiB"; a whole number of bytes.
std::optional<uint64_t> ParseSize(absl::string_view text);
// In the largest unit that is exact.
std::string SizeText(uint64_t bytes);

// A whole number in decimal.
std::optional<uint64_t> ParseNumber(absl::string_view text);

// A number in decimal, such as "0.25" or "50"; no sign, no exponent.
std::optional<double> ParseDecimal(absl::string_view text);
// In as few digits as read back as the same.
std::string DecimalText(double number);

// "192.0.2.1:80" or "[2001:db8::1]:80". Without `default_port` the port is needed, with it the port must not be 0 and
// brackets may be left out where there is no port.
std::optional<Endpoint> ParseEndpoint(absl::string_view text, std::optional<uint16_t> default_port = std::nullopt);

// "443" is {443, 443}, "8000-8999" is {8000, 8999}; 1 to 65535.
std::optional<std::pair<uint16_t, uint16_t>> ParsePorts(absl::string_view text);

// 127.0.0.0/8 or ::1.
bool IsLoopback(const IpAddress& address);

}  // namespace fetchd::server
