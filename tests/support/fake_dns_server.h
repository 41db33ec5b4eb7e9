// A DNS server on loopback that says what the test wants.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/ip_address.h"
#include "net/task.h"

namespace fetchd::server {

// Serves A and AAAA over UDP on a free port of 127.0.0.1, from the loop of the test. Unknown names get NXDOMAIN.
class FakeDnsServer {
 public:
  enum Rcode : uint8_t { kOk = 0, kServfail = 2, kNxdomain = 3, kRefused = 5 };
  struct Records {
    std::vector<IpAddress> addresses;
    uint32_t ttl = 60;
    // For all questions, or those for AAAA alone.
    Rcode rcode = kOk;
    Rcode aaaa_rcode = kOk;
    // Never answer, or never answer questions for AAAA (or A).
    bool silent = false, silent_aaaa = false, silent_a = false;
  };

  explicit FakeDnsServer(asio::io_context& context)
      : socket_(context, asio::ip::udp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    Receive();
  }

  // "127.0.0.1:port", for Resolver::Options::servers.
  std::string address() const { return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port()); }
  void Set(const std::string& name, Records records) { zone_[name] = std::move(records); }
  // Keeps answers back until Release.
  void Hold() { held_ = true; }
  void Release() {
    held_ = false;
    for (auto& answer : std::exchange(waiting_, {})) answer();
  }

  // Questions about the name, A and AAAA together.
  int asked(const std::string& name) const {
    auto it = asked_.find(name);
    return it == asked_.end() ? 0 : it->second;
  }

 private:
  void Receive() {
    socket_.async_receive_from(asio::buffer(buffer_), from_, [this](boost::system::error_code ec, size_t n) {
      if (ec) return;
      Answer(std::vector<uint8_t>(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(n)), from_);
      Receive();
    });
  }

  void Answer(std::vector<uint8_t> packet, asio::ip::udp::endpoint to) {
    std::string name;
    size_t at = 12;
    while (at < packet.size() && packet[at] != 0) {
      if (!name.empty()) name += '.';
      name.append(packet.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                  packet.begin() + static_cast<std::ptrdiff_t>(at) + 1 + packet[at]);
      at += packet[at] + 1u;
    }
    if (at + 5 > packet.size()) return;
    bool v6 = packet[at + 2] == 28;
    packet.resize(at + 5);
    ++asked_[name];
    auto it = zone_.find(name);
    Records records;
    if (it == zone_.end()) {
      records.rcode = records.aaaa_rcode = kNxdomain;
    } else {
      records = it->second;
    }
    if (records.silent || (v6 ? records.silent_aaaa : records.silent_a)) return;
    Rcode rcode = v6 && records.aaaa_rcode != kOk ? records.aaaa_rcode : records.rcode;
    packet[2] = 0x81;
    packet[3] = static_cast<uint8_t>(0x80 | rcode);
    uint8_t count = 0;
    for (const IpAddress& address : records.addresses) {
      if (rcode != kOk || address.is_v4() == v6) continue;
      ++count;
      uint8_t size = v6 ? 16 : 4;
      for (uint8_t byte :
           {uint8_t{0xc0}, uint8_t{12}, uint8_t{0}, static_cast<uint8_t>(v6 ? 28 : 1), uint8_t{0}, uint8_t{1},
            static_cast<uint8_t>(records.ttl >> 24), static_cast<uint8_t>(records.ttl >> 16),
            static_cast<uint8_t>(records.ttl >> 8), static_cast<uint8_t>(records.ttl), uint8_t{0}, size}) {
        packet.push_back(byte);
      }
      packet.insert(packet.end(), address.bytes().begin(), address.bytes().begin() + size);
    }
    packet[6] = 0;
    packet[7] = count;
    std::memset(packet.data() + 8, 0, 4);
    auto send = [this, packet = std::move(packet), to] {
      boost::system::error_code ignored;
      socket_.send_to(asio::buffer(packet), to, 0, ignored);
    };
    if (held_) {
      waiting_.push_back(std::move(send));
    } else {
      send();
    }
  }

  asio::ip::udp::socket socket_;
  asio::ip::udp::endpoint from_;
  std::array<uint8_t, 1500> buffer_{};
  std::map<std::string, Records> zone_;
  std::map<std::string, int> asked_;
  std::vector<std::function<void()>> waiting_;
  bool held_ = false;
};

}  // namespace fetchd::server
