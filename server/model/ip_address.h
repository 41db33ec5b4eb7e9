// IP addresses as values, without the socket API.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fetchd::server {

// An IPv4 or IPv6 address. IPv4 uses the first four bytes. Zone ids are not part of it.
class IpAddress {
 public:
  enum class Family { kV4, kV6 };

  IpAddress() = default;
  static IpAddress V4(std::array<uint8_t, 4> bytes);
  static IpAddress V6(std::array<uint8_t, 16> bytes);
  // Dotted quad with four decimal parts, or RFC 4291 text without brackets or zone; anything else is nullopt.
  static std::optional<IpAddress> Parse(std::string_view text);

  Family family() const { return family_; }
  bool is_v4() const { return family_ == Family::kV4; }
  // 16 bytes; only the first four count for IPv4.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  // RFC 5952 for IPv6.
  std::string ToString() const;
  bool operator==(const IpAddress&) const = default;

 private:
  Family family_ = Family::kV4;
  std::array<uint8_t, 16> bytes_{};
};

// An address block, "10.0.0.0/8" or "fd00::/8". A bare address is a block of one.
class Cidr {
 public:
  // Refuses host bits that are set: "10.1.2.3/8" is more often a mistake than meant.
  static std::optional<Cidr> Parse(std::string_view text);
  bool Contains(const IpAddress& address) const;
  std::string ToString() const;
  bool operator==(const Cidr&) const = default;

 private:
  IpAddress base_;
  int prefix_ = 0;
};

// An address and a port: what is dialled.
struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  // "192.0.2.1:80" or "[2001:db8::1]:80".
  std::string ToString() const;
  bool operator==(const Endpoint&) const = default;
};

}  // namespace fetchd::server
