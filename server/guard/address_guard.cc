#include "guard/address_guard.h"

#include <algorithm>

#include "base/text.h"

namespace fetchd::server {
namespace {

const Cidr* Find(const std::vector<Cidr>& blocks, const IpAddress& address) {
  auto it = std::find_if(blocks.begin(), blocks.end(), [&](const Cidr& block) { return block.Contains(address); });
  return it == blocks.end() ? nullptr : &*it;
}

}  // namespace

AddressGuard::Verdict AddressGuard::Judge(const IpAddress& address, bool proxy) const {
  const auto excepted = [this, proxy](const IpAddress& a) {
    return Find(options_.allow, a) != nullptr || (proxy && Find(options_.allow_proxies, a) != nullptr);
  };
  Verdict verdict;
  verdict.address_class = Classify(address);
  EmbeddedAddresses embedded = EmbeddedV4(address);
  const Cidr* denied = Find(options_.deny, address);
  for (const IpAddress& v4 : embedded)
    if (denied == nullptr) denied = Find(options_.deny, v4);
  if (denied != nullptr) {
    verdict.reason = Concat(address.ToString(), " is in ", denied->ToString(), ", which is denied");
    return verdict;
  }
  if (verdict.address_class == AddressClass::kPublic || excepted(address)) {
    verdict.allowed = true;
    return verdict;
  }
  verdict.allowed = embedded.count > 0 && std::all_of(embedded.begin(), embedded.end(), [&](const IpAddress& v4) {
                      return Classify(v4) == AddressClass::kPublic || excepted(v4);
                    });
  if (!verdict.allowed) verdict.reason = Concat(address.ToString(), " is ", ToString(verdict.address_class));
  return verdict;
}

}  // namespace fetchd::server
