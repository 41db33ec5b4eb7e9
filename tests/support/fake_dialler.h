// Connections that lead where a test says.
#pragma once

#include <boost/asio/error.hpp>
#include <map>
#include <string>
#include <vector>

#include "net/dialler.h"
#include "net/event.h"

namespace fetchd::server {

// Dials as told: some addresses lead to a listener on loopback, some are refused, all others are black holes.
class FakeDialler final : public Dialler {
 public:
  explicit FakeDialler(Executor executor) : real_(executor), executor_(executor) {}

  // Makes it a black hole again, but for Fail.
  void Forget(const std::string& address) { leads_.erase(address); }
  void Lead(const std::string& address, uint16_t port) { leads_[address] = port; }
  void Fail(const std::string& address, error_code ec) { failures_[address] = ec; }
  const std::vector<std::string>& dialled() const { return dialled_; }
  int running() const { return running_; }
  int aborted() const { return aborted_; }

  Task<Result> Dial(Endpoint endpoint, CancelScope& scope) override {
    std::string address = endpoint.address.ToString();
    dialled_.push_back(address);
    if (auto it = leads_.find(address); it != leads_.end()) {
      co_return co_await real_.Dial({IpAddress::V4({127, 0, 0, 1}), it->second}, scope);
    }
    if (auto it = failures_.find(address); it != failures_.end()) co_return Result{nullptr, it->second};
    ++running_;
    Event never(executor_);
    co_await never.Wait(scope);
    --running_;
    ++aborted_;
    co_return Result{nullptr, asio::error::operation_aborted};
  }

 private:
  TcpDialler real_;
  Executor executor_;
  std::map<std::string, uint16_t> leads_;
  std::map<std::string, error_code> failures_;
  std::vector<std::string> dialled_;
  int running_ = 0, aborted_ = 0;
};

}  // namespace fetchd::server
