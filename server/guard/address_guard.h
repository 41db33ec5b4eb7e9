// The SSRF rule about addresses.
#pragma once

#include <string>
#include <vector>

#include "guard/address_class.h"
#include "model/ip_address.h"

namespace fetchd::server {

// Decides whether an address may be dialled. Asked about every address right before the dial, whatever name led to it.
// Immutable, so any thread may ask.
class AddressGuard {
 public:
  struct Options {
    // Non-public blocks that callers may reach, such as the VPC a service lives in. Default: none.
    std::vector<Cidr> allow;
    // Blocks that nobody may reach, public or not; wins over `allow`. Default: none.
    std::vector<Cidr> deny;
  };

  struct Verdict {
    bool allowed = false;
    AddressClass address_class = AddressClass::kReserved;
    // Why, for people: "10.0.0.1 is private". Empty if allowed.
    std::string reason;
  };

  explicit AddressGuard(Options options) : options_(std::move(options)) {}

  // Public addresses are allowed unless denied; others are refused unless `allow` contains them. An IPv6 address that
  // carries IPv4 addresses is also judged by these: one of them denied denies it, and it is allowed if `allow` contains
  // it or each of them that is not public.
  Verdict Check(const IpAddress& address) const;

 private:
  Options options_;
};

}  // namespace fetchd::server
