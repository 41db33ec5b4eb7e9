#include "fetch/json_sink.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fetch/json_items.h"

namespace fetchd::server {
namespace {

constexpr size_t kFirstRoom = 16 * 1024;
// Room made at once on the word of a Content-Length.
constexpr size_t kMostTrusted = 256 * 1024;

Failure Fail(FailureCode code, std::string detail) {
  return {.code = code, .phase = Phase::kDecode, .processed = Processed::kYes, .detail = std::move(detail)};
}

}  // namespace

JsonSink::JsonSink(ResponseSink& next, const BodyContract& contract, SharedCell& held)
    : next_(next), contract_(contract), held_(held) {}

JsonSink::~JsonSink() {
  if (counted_ > 0) held_.Add(-static_cast<int64_t>(counted_));
}

void JsonSink::Count(size_t bytes) {
  if (bytes <= counted_) return;
  held_.Add(static_cast<int64_t>(bytes - counted_));
  counted_ = bytes;
}

void JsonSink::RefuseSize() {
  failure_ = Fail(FailureCode::kHttpResponseBodySize,
                  absl::StrCat("the body to be read as JSON is larger than ", contract_.max_held_bytes, " bytes"));
}

void JsonSink::OnHead(ResponseHead head) {
  length_ = head.content_length;
  if (contract_.select) {
    head.content_length.reset();
    head.headers.Remove("content-length");
  }
  next_.OnHead(std::move(head));
  if (length_.value_or(0) > contract_.max_held_bytes) RefuseSize();
}

std::span<char> JsonSink::Prepare(size_t want) {
  if (refusal() != nullptr) return {};
  if (filled_ == body_.size()) {
    size_t room = std::max(kFirstRoom, filled_);
    if (length_ && *length_ > filled_) room = std::min<uint64_t>(*length_ - filled_, std::max(kMostTrusted, filled_));
    // One more than allowed shows that it is too long.
    body_.resize(std::min<uint64_t>(filled_ + room, contract_.max_held_bytes + 1));
    Count(body_.size());
  }
  return {body_.data() + filled_, std::min(want, body_.size() - filled_)};
}

void JsonSink::Commit(size_t n) {
  filled_ += n;
  if (filled_ > contract_.max_held_bytes) RefuseSize();
}

std::optional<Failure> JsonSink::Check() {
  body_.resize(filled_);
  wanted_ = body_;
  std::optional<std::string_view> pointer;
  if (contract_.select) pointer = *contract_.select;
  const absl::StatusOr<std::optional<JsonSlice>> slice = SelectJson(body_, "the body", pointer);
  if (!slice.ok()) return Fail(FailureCode::kBodyNotJson, std::string(slice.status().message()));
  if (!pointer) return std::nullopt;
  if (!*slice)
    return Fail(FailureCode::kSelectedValueMissing,
                absl::StrCat("the body has nothing at \"", *contract_.select, "\""));
  wanted_ = (*slice)->In(body_);
  const uint64_t limit = contract_.select_limit.max_bytes;
  if (wanted_.size() <= limit) return std::nullopt;
  if (!contract_.select_limit.truncate)
    return Fail(FailureCode::kHttpResponseBodySize,
                absl::StrCat("what is selected of the body has ", wanted_.size(), " bytes, more than ", limit));
  wanted_ = wanted_.substr(0, limit);
  cut_ = true;
  return std::nullopt;
}

Task<bool> JsonSink::Deliver(CancelScope& scope) {
  while (!wanted_.empty() && next_.refusal() == nullptr) {
    const std::span<char> room = next_.Prepare(wanted_.size());
    if (room.empty()) {
      bool writable = co_await next_.Writable().Wait(scope);
      if (!writable) co_return false;
      continue;
    }
    const size_t n = std::min(room.size(), wanted_.size());
    std::memcpy(room.data(), wanted_.data(), n);
    next_.Commit(n);
    wanted_.remove_prefix(n);
  }
  co_return true;
}

}  // namespace fetchd::server
