#include "http/decoding_sink.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

// Asked of the next sink in one go.
constexpr size_t kMostAtOnce = 256 * 1024;
// A decoder that holds less is not counted: the fetch itself costs more.
constexpr size_t kLeastCounted = 16 * 1024;

// Of a result that is not kOk.
FailureCode CodeOf(LayeredDecoder::Result result) {
  return result == LayeredDecoder::Result::kLimit ? FailureCode::kContentCodingLimit
                                                  : FailureCode::kHttpResponseContentCoding;
}

}  // namespace

DecodingSink::DecodingSink(ResponseSink& next, CodingList codings, BodyLimit limit, SharedCell& held,
                           const DecoderLimits& limits)
    : next_(next), codings_(codings), limit_(limit), held_(held), decoder_(codings, limits), left_(limit.max_bytes) {}

DecodingSink::~DecodingSink() {
  if (counted_ > 0) held_.Add(-static_cast<int64_t>(counted_));
}

void DecodingSink::CountMemory() {
  const size_t holds = decoder_.memory() + buffer_size_;
  if (holds < kLeastCounted || holds <= counted_) return;
  held_.Add(static_cast<int64_t>(holds - counted_));
  counted_ = holds;
}

void DecodingSink::OnHead(ResponseHead head) {
  if (head.content_length) buffer_size_ = std::clamp<uint64_t>(*head.content_length, 1, kBufferBytes);
  buffer_ = std::make_unique_for_overwrite<char[]>(buffer_size_);
  head.content_length.reset();
  head.headers.Remove("content-encoding");
  head.headers.Remove("content-length");
  head.decoded = codings_;
  next_.OnHead(std::move(head));
}

uint64_t DecodingSink::BytesFor(uint64_t limit) const {
  if (limit == BodyLimit::kUnlimited) return limit;
  return limit + limit / 64 + 4096;
}

std::span<char> DecodingSink::Prepare(size_t want) {
  if (blocked_) Pump();
  if (blocked_ || refusal() != nullptr) return {};
  return {buffer_.get(), std::min(want, buffer_size_)};
}

void DecodingSink::Commit(size_t n) {
  input_ = {buffer_.get(), n};
  Pump();
}

void DecodingSink::Pump() {
  blocked_ = false;
  do {
    if (left_ == 0) return PumpBeyondLimit();
    std::span<char> room = next_.Prepare(std::min<uint64_t>(left_, kMostAtOnce));
    if (room.empty()) {
      blocked_ = true;
      return CountMemory();
    }
    room = room.first(std::min<uint64_t>(room.size(), left_));
    const size_t made = Decode(room);
    if (made > 0) next_.Commit(made);
    if (limit_.max_bytes != BodyLimit::kUnlimited) left_ -= made;
    if (made < room.size()) return CountMemory();
  } while (refusal() == nullptr);
}

void DecodingSink::PumpBeyondLimit() {
  char one_more;
  if (Decode({&one_more, 1}) == 0 || failure_) return;
  cut_ = limit_.truncate;
  Refuse(FailureCode::kHttpResponseBodySize, absl::StrCat("the decoded body is larger than ", limit_.max_bytes,
                                                          " bytes; FetchStream takes bodies of any size"));
}

size_t DecodingSink::Decode(std::span<char> out) {
  std::span<char> rest = out;
  const LayeredDecoder::Result result = decoder_.Decode(input_, rest);
  if (result != LayeredDecoder::Result::kOk) Refuse(CodeOf(result), decoder_.error());
  return out.size() - rest.size();
}

void DecodingSink::Refuse(FailureCode code, std::string detail) {
  failure_ = Failure{.code = code, .phase = Phase::kDecode, .processed = Processed::kYes, .detail = std::move(detail)};
}

Task<bool> DecodingSink::Flush(CancelScope& scope) {
  while (blocked_ && refusal() == nullptr) {
    bool writable = co_await next_.Writable().Wait(scope);
    if (!writable) co_return false;
    Pump();
  }
  co_return true;
}

std::optional<Failure> DecodingSink::CheckEnd() {
  const LayeredDecoder::Result result = decoder_.End();
  if (result == LayeredDecoder::Result::kOk) return std::nullopt;
  return Failure{
      .code = CodeOf(result), .phase = Phase::kDecode, .processed = Processed::kYes, .detail = decoder_.error()};
}

}  // namespace fetchd::server
