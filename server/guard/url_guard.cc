#include "guard/url_guard.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace fetchd::server {
namespace {

// https://fetch.spec.whatwg.org/#port-blocking, in order.
constexpr uint16_t kBadPorts[] = {0,    1,    7,    9,    11,   13,   15,   17,   19,   20,   21,   22,   23,   25,
                                  37,   42,   43,   53,   69,   77,   79,   87,   95,   101,  102,  103,  104,  109,
                                  110,  111,  113,  115,  117,  119,  123,  135,  137,  139,  143,  161,  179,  389,
                                  427,  465,  512,  513,  514,  515,  526,  530,  531,  532,  540,  548,  554,  556,
                                  563,  587,  601,  636,  989,  990,  993,  995,  1719, 1720, 1723, 2049, 3659, 4045,
                                  4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080};

}  // namespace

UrlGuard::UrlGuard(Options options, const AddressGuard& address_guard)
    : options_(std::move(options)), address_guard_(address_guard) {}

bool UrlGuard::PortAllowed(uint16_t port) const {
  if (options_.allowed_ports.empty()) return !std::binary_search(std::begin(kBadPorts), std::end(kBadPorts), port);
  return std::any_of(options_.allowed_ports.begin(), options_.allowed_ports.end(),
                     [port](const PortRange& range) { return range.first <= port && port <= range.last; });
}

absl::Status UrlGuard::Check(const Url& url) const {
  if (!PortAllowed(url.port())) return absl::PermissionDeniedError(Concat("port ", url.port(), " is not allowed"));
  if (url.host_address().has_value()) {
    AddressGuard::Verdict verdict = address_guard_.Check(*url.host_address());
    if (!verdict.allowed) {
      return absl::PermissionDeniedError(Concat("address is not allowed: ", verdict.reason));
    }
    return absl::OkStatus();
  }
  std::string_view host = url.host();
  if (host.ends_with(".")) host.remove_suffix(1);
  if (host != "localhost" && !host.ends_with(".localhost")) return absl::OkStatus();
  std::array<uint8_t, 16> one{};
  one[15] = 1;
  if (address_guard_.Check(IpAddress::V4({127, 0, 0, 1})).allowed || address_guard_.Check(IpAddress::V6(one)).allowed) {
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError("host is not allowed: localhost is loopback");
}

}  // namespace fetchd::server
