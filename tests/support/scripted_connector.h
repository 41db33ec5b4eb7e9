// Connections as a test wants them.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "net/connector.h"
#include "net/event.h"
#include "support/scripted_transport.h"

namespace fetchd::server {

// A Connector whose connections lead to ScriptedPeers. Each Connect takes the next planned result; without a plan, it
// makes a new silent peer.
class ScriptedConnector final : public Connector {
 public:
  explicit ScriptedConnector(Executor executor) : executor_(executor) {}

  // The next unplanned Connect leads to this peer.
  std::shared_ptr<ScriptedPeer> PlanPeer() {
    auto peer = std::make_shared<ScriptedPeer>(executor_);
    plan_.push_back({peer, std::nullopt});
    return peer;
  }
  // The next unplanned Connect fails.
  void PlanFailure(FailureCode code, Phase phase = Phase::kConnect) {
    plan_.push_back({nullptr, Failure{code, phase, Processed::kNo, "as the test planned", false}});
  }
  // Peers choose HTTP/2 where it is offered.
  void SpeakHttp2() { http2_ = true; }
  // Connects wait until their scope stops, or Release.
  void Hold() { held_ = true; }
  void Release() {
    held_ = false;
    for (Event* event : waiting_) event->Set();
  }

  // Who was asked for, in order, and the peers handed out, in order.
  const std::vector<Origin>& asked() const { return asked_; }
  const std::vector<std::shared_ptr<ScriptedPeer>>& peers() const { return peers_; }

  Task<ConnectResult> Connect(ConnectTarget target, CancelScope& scope) override {
    asked_.push_back(target.origin);
    ConnectResult result;
    if (held_) {
      Event released(executor_);
      waiting_.push_back(&released);
      bool go_on = co_await released.Wait(scope);
      std::erase(waiting_, &released);
      if (!go_on) {
        result.failure = Failure{scope.reason(), Phase::kConnect, Processed::kNo, "stopped", false};
        co_return result;
      }
    }
    result.phases.connect = Duration::zero();
    Step step;
    if (plan_.empty()) {
      step.peer = std::make_shared<ScriptedPeer>(executor_);
    } else {
      step = std::move(plan_.front());
      plan_.pop_front();
    }
    result.failure = std::move(step.failure);
    if (step.peer != nullptr) {
      peers_.push_back(step.peer);
      result.http2 = http2_ && target.version != HttpVersion::kHttp1;
      result.transport = std::make_unique<ScriptedTransport>(std::move(step.peer));
    }
    co_return result;
  }

 private:
  struct Step {
    std::shared_ptr<ScriptedPeer> peer;
    std::optional<Failure> failure;
  };
  Executor executor_;
  bool held_ = false;
  bool http2_ = false;
  std::vector<Event*> waiting_;
  std::deque<Step> plan_;
  std::vector<Origin> asked_;
  std::vector<std::shared_ptr<ScriptedPeer>> peers_;
};

}  // namespace fetchd::server
