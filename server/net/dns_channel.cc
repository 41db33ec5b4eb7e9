#include "net/dns_channel.h"

#include <ares.h>
#include <netdb.h>

#include <algorithm>
#include <array>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

// One socket of c-ares. Shared with the waits on it, which may end after c-ares has closed it.
struct Watch {
  explicit Watch(Executor executor) : descriptor(executor) {}
  Descriptor descriptor;
  bool want_read = false, want_write = false;
  bool reading = false, writing = false;
  bool closed = false;
};

struct Question {
  IpAddress::Family family;
  absl::AnyInvocable<void(DnsAnswer)> done;
};

std::string ErrorText(int status) {
  switch (status) {
    case ARES_ENOTFOUND:
      return "no such host (NXDOMAIN)";
    case ARES_ENODATA:
      return "the name has no address";
    case ARES_EBADNAME:
      return "not a name that DNS can hold";
    case ARES_ESERVFAIL:
      return "the DNS server failed (SERVFAIL)";
    case ARES_EREFUSED:
      return "the DNS server refused to answer (REFUSED)";
    case ARES_ETIMEOUT:
      return "no answer from the DNS servers";
    case ARES_ECONNREFUSED:
      return "no DNS server could be reached or gave an answer";
    default:
      return ares_strerror(status);
  }
}

template <typename Record>
constexpr auto kParse = nullptr;
template <>
constexpr auto kParse<ares_addrttl> = ares_parse_a_reply;
template <>
constexpr auto kParse<ares_addr6ttl> = ares_parse_aaaa_reply;

IpAddress Address(const ares_addrttl& record) {
  std::array<uint8_t, 4> bytes;
  std::memcpy(bytes.data(), &record.ipaddr, bytes.size());
  return IpAddress::V4(bytes);
}

IpAddress Address(const ares_addr6ttl& record) {
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &record.ip6addr, bytes.size());
  return IpAddress::V6(bytes);
}

template <typename Record>
int Parse(const unsigned char* data, int size, DnsAnswer& answer) {
  // More addresses than anybody will dial.
  std::array<Record, 32> records;
  int count = records.size();
  int status = kParse<Record>(data, size, nullptr, records.data(), &count);
  if (status != ARES_SUCCESS) return status;
  if (count == 0) return ARES_ENODATA;
  answer.ttl = std::chrono::seconds(std::max(0, records[0].ttl));
  for (int i = 0; i < count; ++i) {
    answer.addresses.push_back(Address(records[i]));
    answer.ttl = std::min<Duration>(answer.ttl, std::chrono::seconds(std::max(0, records[i].ttl)));
  }
  return ARES_SUCCESS;
}

void OnAnswer(void* arg, int status, int /*timeouts*/, unsigned char* data, int size) {
  std::unique_ptr<Question> question(static_cast<Question*>(arg));
  DnsAnswer answer;
  if (status == ARES_SUCCESS) {
    status = question->family == IpAddress::Family::kV4 ? Parse<ares_addrttl>(data, size, answer)
                                                        : Parse<ares_addr6ttl>(data, size, answer);
  }
  switch (status) {
    case ARES_SUCCESS:
      answer.kind = DnsAnswer::Kind::kAddresses;
      break;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
      answer.kind = DnsAnswer::Kind::kNoName;
      break;
    case ARES_ENODATA:
      answer.kind = DnsAnswer::Kind::kNoAddress;
      break;
    default:
      break;
  }
  if (status != ARES_SUCCESS) answer.error = ErrorText(status);
  question->done(std::move(answer));
}

// "192.0.2.53", "192.0.2.53:53", "2001:db8::53" or "[2001:db8::53]:53", as c-ares wants it.
std::optional<std::string> CanonicalServer(std::string_view text) {
  Endpoint server{{}, 53};
  std::optional<IpAddress> address = IpAddress::Parse(text);
  if (!address.has_value()) {
    size_t colon = text.rfind(':');
    if (colon == text.npos) return std::nullopt;
    std::optional<uint16_t> port = ParseDecimal<uint16_t>(text.substr(colon + 1));
    std::string_view host = text.substr(0, colon);
    bool brackets = host.starts_with('[') && host.ends_with(']');
    if (brackets) host = host.substr(1, host.size() - 2);
    address = IpAddress::Parse(host);
    if (!port.has_value() || *port == 0 || !address.has_value() || address->is_v4() == brackets) return std::nullopt;
    server.port = *port;
  }
  server.address = *address;
  return server.ToString();
}

}  // namespace

struct DnsChannel::Core {
  Core(Executor io, const Clock& time, TimerQueue& timers)
      : executor(std::move(io)), clock(time), timer(timers, [this] { Process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }) {}
  ~Core() {
    if (channel != nullptr) ares_destroy(channel);
    for (auto& [fd, watch] : watches) {
      watch->closed = true;
      watch->descriptor.release();
    }
  }

  absl::Status Start(const Options& options, int flags) {
    ares_options o{};
    o.flags = flags;
    o.timeout = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(options.attempt_timeout).count());
    o.tries = options.tries;
    o.sock_state_cb = [](void* core, ares_socket_t fd, int read, int write) {
      static_cast<Core*>(core)->OnSocketState(fd, read != 0, write != 0);
    };
    o.sock_state_cb_data = this;
    int status =
        ares_init_options(&channel, &o, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
      channel = nullptr;
      return absl::InternalError(Concat("c-ares cannot start: ", ares_strerror(status)));
    }
    std::string csv;
    for (const std::string& text : options.servers) {
      std::optional<std::string> server = CanonicalServer(text);
      if (!server.has_value()) {
        return absl::InvalidArgumentError(Concat("DNS server '", text, "' is not an address with an optional port"));
      }
      csv += Concat(csv.empty() ? "" : ",", *server);
    }
    if (!csv.empty() && (status = ares_set_servers_ports_csv(channel, csv.c_str())) != ARES_SUCCESS) {
      return absl::InvalidArgumentError(Concat("c-ares does not take the DNS servers: ", ares_strerror(status)));
    }
    return absl::OkStatus();
  }

  bool HasOneServer() const {
    ares_addr_port_node* servers = nullptr;
    if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS || servers == nullptr) return false;
    bool one = servers->next == nullptr;
    ares_free_data(servers);
    return one;
  }

  // c-ares opened a socket, changed what it waits for, or is about to close it.
  void OnSocketState(ares_socket_t fd, bool read, bool write) {
    auto it = watches.find(fd);
    if (!read && !write) {
      if (it == watches.end()) return;
      it->second->closed = true;
      it->second->descriptor.release();  // c-ares closes it
      watches.erase(it);
      return;
    }
    if (it == watches.end()) {
      auto watch = std::make_shared<Watch>(executor);
      boost::system::error_code ec;
      watch->descriptor.assign(fd, ec);
      // Without the loop's help (out of memory), the question times out.
      if (ec) return;
      it = watches.emplace(fd, std::move(watch)).first;
    }
    it->second->want_read = read;
    it->second->want_write = write;
    Arm(it->second, fd);
  }

  void Arm(const std::shared_ptr<Watch>& watch, ares_socket_t fd) {
    if (watch->want_read && !watch->reading) {
      watch->reading = true;
      watch->descriptor.async_wait(Descriptor::wait_read, [this, watch, fd](boost::system::error_code) {
        watch->reading = false;
        OnReady(watch, fd, fd, ARES_SOCKET_BAD);
      });
    }
    if (watch->want_write && !watch->writing) {
      watch->writing = true;
      watch->descriptor.async_wait(Descriptor::wait_write, [this, watch, fd](boost::system::error_code) {
        watch->writing = false;
        OnReady(watch, fd, ARES_SOCKET_BAD, fd);
      });
    }
  }

  void OnReady(const std::shared_ptr<Watch>& watch, ares_socket_t fd, ares_socket_t read, ares_socket_t write) {
    // Also set once the channel is gone, and with it `this`.
    if (watch->closed) return;
    Process(read, write);
    if (!watch->closed) Arm(watch, fd);
  }

  void Process(ares_socket_t read, ares_socket_t write) {
    ares_process_fd(channel, read, write);
    SetTimer();
  }

  void SetTimer() {
    timeval buffer;
    timeval* wait = ares_timeout(channel, nullptr, &buffer);
    if (wait == nullptr) return timer.Disarm();
    // c-ares reads the time itself; never less than a moment, should its clock be a bit behind ours.
    Duration delay = std::chrono::seconds(wait->tv_sec) + std::chrono::microseconds(wait->tv_usec);
    timer.Arm(After(clock.Now(), std::max<Duration>(delay, std::chrono::milliseconds(1))));
  }

  Executor executor;
  const Clock& clock;
  Timer timer;
  absl::flat_hash_map<ares_socket_t, std::shared_ptr<Watch>> watches;
  ares_channel channel = nullptr;
};

absl::StatusOr<std::unique_ptr<DnsChannel>> DnsChannel::Create(const Options& options, Executor executor,
                                                               const Clock& clock, TimerQueue& timers) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  auto core = std::make_unique<Core>(executor, clock, timers);
  if (absl::Status status = core->Start(options, ARES_FLAG_NOSEARCH); !status.ok()) return status;
  if (core->HasOneServer()) {
    // With nobody else to ask, the server's own error is worth more than "no server gave an answer".
    core = std::make_unique<Core>(executor, clock, timers);
    if (absl::Status status = core->Start(options, ARES_FLAG_NOSEARCH | ARES_FLAG_NOCHECKRESP); !status.ok()) {
      return status;
    }
  }
  return std::unique_ptr<DnsChannel>(new DnsChannel(std::move(core)));
}

DnsChannel::DnsChannel(std::unique_ptr<Core> core) : core_(std::move(core)) {}
DnsChannel::~DnsChannel() = default;

void DnsChannel::Ask(const std::string& name, IpAddress::Family family, absl::AnyInvocable<void(DnsAnswer)> done) {
  auto question = std::make_unique<Question>(Question{family, std::move(done)});
  ares_query(core_->channel, name.c_str(), 1 /* IN */, family == IpAddress::Family::kV4 ? 1 /* A */ : 28 /* AAAA */,
             OnAnswer, question.release());
  core_->SetTimer();
}

}  // namespace fetchd::server
