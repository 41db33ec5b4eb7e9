#include "fetch/collecting_call.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "telemetry/thread_metrics.h"

namespace fetchd::server {
namespace {

// A body of unknown length begins with this room and then doubles.
constexpr size_t kFirstRoom = 4096;
// Room made at once on the word of a Content-Length; more is made as bytes arrive.
constexpr size_t kMostTrusted = 256 * 1024;
// Less than this is not counted as memory held: the fetch itself costs more.
constexpr size_t kLeastCounted = 16 * 1024;

}  // namespace

CollectingCall::~CollectingCall() {
  if (counted_ > 0) held_bytes()->Add(-static_cast<int64_t>(counted_));
}

void CollectingCall::Count(size_t bytes) {
  if (bytes < kLeastCounted || bytes <= counted_ || held_bytes() == nullptr) return;
  held_bytes()->Add(static_cast<int64_t>(bytes - counted_));
  counted_ = bytes;
}

void CollectingCall::OnStart(Executor owner) {
  Count(spec.body.size());
  owner_is_home_ = owner == home_;
  writable_.emplace(owner);
}

void CollectingCall::OnHead(ResponseHead head) { collected_.head = std::move(head); }

std::span<char> CollectingCall::Prepare(size_t want) {
  std::string& body = collected_.body;
  if (filled_ == body.size()) {
    size_t room = std::max(kFirstRoom, filled_);
    const auto& length = collected_.head->content_length;
    // One byte more than announced would never be used.
    if (length && *length > filled_) room = std::min<uint64_t>(*length - filled_, std::max(kMostTrusted, filled_));
    body.resize(filled_ + room);
    Count(spec.body.size() + body.size());
  }
  return {body.data() + filled_, std::min(want, body.size() - filled_)};
}

void CollectingCall::Commit(size_t n) { filled_ += n; }

void CollectingCall::OnDone(Outcome outcome) {
  if (outcome.failure) collected_.redacted_url = spec.url.Redacted();
  collected_.body.resize(filled_);
  collected_.outcome = std::move(outcome);
  if (owner_is_home_) return OnCollected(collected_);
  asio::post(home_, [self = std::static_pointer_cast<CollectingCall>(shared_from_this())] {
    self->OnCollected(self->collected_);
  });
}

}  // namespace fetchd::server
