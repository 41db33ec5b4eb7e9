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

AddressGuard::Verdict AddressGuard::Check(const IpAddress& address) const {
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
  if (verdict.address_class == AddressClass::kPublic || Find(options_.allow, address) != nullptr) {
    verdict.allowed = true;
    return verdict;
  }
  verdict.allowed = embedded.count > 0 && std::all_of(embedded.begin(), embedded.end(), [this](const IpAddress& v4) {
                      return Classify(v4) == AddressClass::kPublic || Find(options_.allow, v4) != nullptr;
                    });
  if (!verdict.allowed) verdict.reason = Concat(address.ToString(), " is ", ToString(verdict.address_class));
  return verdict;
}

}  // namespace fetchd::server
