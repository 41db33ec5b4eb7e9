#include "model/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace fetchd::server {
namespace {

// Four decimal parts without leading zeros, as inet_pton takes them; many times faster, and every URL is asked whether
// its host is such an address.
std::optional<IpAddress> ParseV4(std::string_view text) {
  std::array<uint8_t, 4> bytes{};
  for (size_t part = 0; part < bytes.size(); ++part) {
    if (part > 0) {
      if (!text.starts_with('.')) return std::nullopt;
      text.remove_prefix(1);
    }
    unsigned value = 0;
    size_t digits = 0;
    for (; digits < text.size() && IsDigit(text[digits]); ++digits) {
      value = value * 10 + static_cast<unsigned>(text[digits] - '0');
      if (value > 255 || (digits > 0 && text[0] == '0')) return std::nullopt;
    }
    if (digits == 0) return std::nullopt;
    bytes[part] = static_cast<uint8_t>(value);
    text.remove_prefix(digits);
  }
  if (!text.empty()) return std::nullopt;
  return IpAddress::V4(bytes);
}

}  // namespace

IpAddress IpAddress::V4(std::array<uint8_t, 4> bytes) {
  IpAddress address;
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin());
  return address;
}

IpAddress IpAddress::V6(std::array<uint8_t, 16> bytes) {
  IpAddress address;
  address.family_ = Family::kV6;
  address.bytes_ = bytes;
  return address;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  if (text.find(':') == text.npos) return ParseV4(text);
  char buffer[INET6_ADDRSTRLEN];
  if (text.size() >= sizeof buffer || text.find('\0') != text.npos) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = '\0';
  IpAddress address;
  address.family_ = Family::kV6;
  if (inet_pton(AF_INET6, buffer, address.bytes_.data()) == 1) return address;
  return std::nullopt;
}

std::string IpAddress::ToString() const {
  if (is_v4()) {
    std::string out;
    for (size_t part = 0; part < 4; ++part) {
      char digits[3];
      if (part > 0) out.push_back('.');
      out.append(digits, std::to_chars(digits, digits + sizeof digits, bytes_[part]).ptr);
    }
    return out;
  }
  char buffer[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
  return buffer;
}

std::optional<Cidr> Cidr::Parse(std::string_view text) {
  size_t slash = text.find('/');
  std::optional<IpAddress> base = IpAddress::Parse(text.substr(0, slash));
  if (!base.has_value()) return std::nullopt;
  Cidr cidr;
  cidr.base_ = *base;
  int bits = base->is_v4() ? 32 : 128;
  cidr.prefix_ = bits;
  if (slash != text.npos) {
    std::optional<unsigned> prefix = ParseDecimal<unsigned>(text.substr(slash + 1));
    if (!prefix.has_value() || *prefix > static_cast<unsigned>(bits)) return std::nullopt;
    cidr.prefix_ = static_cast<int>(*prefix);
  }
  for (int bit = cidr.prefix_; bit < bits; ++bit)
    if ((base->bytes()[bit / 8] & (0x80 >> (bit % 8))) != 0) return std::nullopt;
  return cidr;
}

bool Cidr::Contains(const IpAddress& address) const {
  if (address.family() != base_.family()) return false;
  int whole = prefix_ / 8, rest = prefix_ % 8;
  if (!std::equal(base_.bytes().begin(), base_.bytes().begin() + whole, address.bytes().begin())) return false;
  if (rest == 0) return true;
  auto mask = static_cast<uint8_t>(0xff << (8 - rest));
  return (base_.bytes()[whole] & mask) == (address.bytes()[whole] & mask);
}

std::string Cidr::ToString() const { return Concat(base_.ToString(), "/", prefix_); }

std::string Endpoint::ToString() const {
  return address.is_v4() ? Concat(address.ToString(), ":", port) : Concat("[", address.ToString(), "]:", port);
}

}  // namespace fetchd::server
