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
    // Non-public blocks in which proxies of the configuration may be, besides those of `allow`; callers reach nothing
    // there. Default: none.
    std::vector<Cidr> allow_proxies;
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
  Verdict Check(const IpAddress& address) const { return Judge(address, false); }
  // The same for the address of a proxy, for which `allow_proxies` counts as `allow` does.
  Verdict CheckProxy(const IpAddress& address) const { return Judge(address, true); }

 private:
  Verdict Judge(const IpAddress& address, bool proxy) const;

  Options options_;
};

}  // namespace fetchd::server
