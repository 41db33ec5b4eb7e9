// The response path of HTTP/1: what a response means does not depend on how it is cut.
//
// Input: one byte of options, one that tells how to cut, then what the origin sends. After it the connection ends.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "check.h"
#include "http/exchange.h"
#include "http/response_codec.h"
#include "support/loop.h"
#include "support/memory_sink.h"
#include "support/scripted_transport.h"

namespace fetchd::server {
namespace {

// All that a response came to.
struct Reading {
  std::optional<FailureCode> failed;
  bool complete = false;
  bool keep_alive = false;
  std::optional<ResponseHead> head;
  std::string body;
  Headers trailers;
  int interim = 0;
};

void RequireSame(const Headers& a, const Headers& b, std::string_view rule) {
  Require(a.size() == b.size(), rule);
  for (size_t i = 0; i < a.size(); ++i) Require(a[i].name == b[i].name && a[i].value == b[i].value, rule);
}

void RequireSame(const Reading& a, const Reading& b) {
  Require(a.failed == b.failed, "the same verdict, whole and cut");
  Require(a.complete == b.complete, "complete, whole and cut");
  Require(a.interim == b.interim, "the same interim responses, whole and cut");
  Require(a.keep_alive == b.keep_alive, "the same end of the connection, whole and cut");
  Require(a.head.has_value() == b.head.has_value(), "a head, whole and cut");
  if (a.head) {
    Require(a.head->status == b.head->status, "the same status, whole and cut");
    Require(a.head->content_length == b.head->content_length, "the same length, whole and cut");
    RequireSame(a.head->headers, b.head->headers, "the same fields, whole and cut");
  }
  Require(a.body == b.body, "the same body, whole and cut");
  RequireSame(a.trailers, b.trailers, "the same trailers, whole and cut");
}

// Feeds the codec as http/exchange.cc does: what it does not use comes again, with more behind it.
class Reader {
 public:
  Reader(std::string_view input, const HttpLimits& limits, bool head_request, Dice* dice)
      : input_(input), codec_(limits, head_request), dice_(dice) {}

  Reading Run() {
    if (!ReadHead()) return std::move(reading_);
    reading_.head = codec_.TakeHead();
    reading_.keep_alive = codec_.keep_alive();
    const ResponseHead& head = *reading_.head;
    Require(head.status >= 200 && head.status <= 599, "a final status");
    for (const HeaderView field : head.headers) {
      Require(!field.name.empty(), "fields have names");
      Require(field.value.find_first_of(std::string_view("\r\n\0", 3)) == field.value.npos, "a field is one line");
    }
    switch (codec_.framing()) {
      case ResponseCodec::Framing::kNone:
        reading_.complete = true;
        break;
      case ResponseCodec::Framing::kLength:
        Require(head.content_length.has_value(), "a known length");
        while (reading_.body.size() < *head.content_length && (!held_.empty() || More())) {
          const size_t n = std::min<uint64_t>(held_.size(), *head.content_length - reading_.body.size());
          reading_.body.append(held_, 0, n);
          held_.erase(0, n);
        }
        reading_.complete = reading_.body.size() == *head.content_length;
        break;
      case ResponseCodec::Framing::kUntilClose:
        while (More()) {
        }
        reading_.body = std::move(held_);
        reading_.complete = true;
        break;
      case ResponseCodec::Framing::kChunked:
        ReadChunked();
        break;
    }
    return std::move(reading_);
  }

 private:
  bool More() {
    if (input_.empty()) return false;
    const size_t n = dice_ == nullptr ? input_.size() : std::min(dice_->Piece(), input_.size());
    held_.append(input_.substr(0, n));
    input_.remove_prefix(n);
    return true;
  }

  // The next call sees the bytes elsewhere, and nothing may be left that points to the old ones.
  void Use(size_t used) { held_ = std::string(held_.substr(used)); }

  bool ReadHead() {
    using Step = decltype(codec_.ParseHead({}, std::declval<size_t&>()));
    for (;;) {
      if (!held_.empty()) {
        size_t used = 0;
        const Step step = codec_.ParseHead(held_, used);
        Require(used <= held_.size(), "no more is used than there is");
        Use(used);
        reading_.interim = codec_.interim_responses();
        if (step == Step::kFailed) reading_.failed = codec_.failure().code;
        if (step != Step::kNeedMore) return step == Step::kHead;
      }
      if (!More()) return false;
    }
  }

  void ReadChunked() {
    using Step = ResponseCodec::Step;
    for (;;) {
      if (!held_.empty()) {
        size_t used = 0;
        std::string_view piece;
        const Step step = codec_.ParseChunked(held_, used, piece);
        Require(used <= held_.size(), "no more is used than there is");
        if (step == Step::kBody) {
          Require(!piece.empty() && used > 0, "a piece of the body moves on");
          reading_.body.append(piece);
          Use(used);
          continue;
        }
        Use(used);
        if (step == Step::kFailed) {
          reading_.failed = codec_.failure().code;
          return;
        }
        if (step == Step::kDone) {
          reading_.trailers = codec_.TakeTrailers();
          reading_.complete = true;
          return;
        }
      }
      if (!More()) return;
    }
  }

  std::string_view input_;
  std::string held_;
  ResponseCodec codec_;
  Dice* dice_;
  Reading reading_;
};

class Judge final : public HeadJudge {
 public:
  explicit Judge(MemorySink& sink) : sink_(sink) {}
  ResponseSink& OnHead(const ResponseHead&) override { return sink_; }

 private:
  MemorySink& sink_;
};

// The same by a whole exchange, with a caller that takes the body in portions.
void RequireSameOfExchange(std::string_view input, const HttpLimits& limits, bool head_request, Dice dice,
                           const Reading& expected) {
  FakeClock clock;
  Loop loop(clock);
  {
    const auto peer = std::make_shared<ScriptedPeer>(loop.executor());
    ScriptedTransport transport(peer);
    ReadBuffer buffer;
    FetchSpec spec;
    spec.url = *Url::Parse("http://a.test/");
    spec.method = head_request ? "HEAD" : "GET";
    MemorySink sink(loop.executor());
    sink.SetCredit(dice.Below(100));
    sink.LimitBuffers(1 + dice.Below(2000));
    Judge judge(sink);
    std::optional<ExchangeResult> result;
    loop.Start(
        RunExchange(transport, buffer, loop.executor(), {.spec = spec, .judge = judge, .limits = limits}, loop.scope()),
        result);
    for (std::string_view left = input; !left.empty();) {
      const size_t n = std::min(dice.Piece(), left.size());
      peer->Send(std::string(left.substr(0, n)));
      left.remove_prefix(n);
      loop.Poll();
      if (sink.starved()) sink.GiveCredit(dice.Below(3000));
    }
    peer->End();
    sink.GiveCredit(UINT32_MAX);
    loop.Poll();
    Require(result.has_value(), "the exchange ends with its connection");
    const bool whole = expected.complete && !expected.failed;
    Require(!result->failure == whole, "codec and exchange agree whether the response is whole");
    if (expected.failed) Require(result->failure->code == *expected.failed, "codec and exchange agree why not");
    Require((sink.heads() == 1) == expected.head.has_value(), "codec and exchange agree on the head");
    Require(sink.body() == expected.body, "codec and exchange agree on the body");
    RequireSame(result->trailers, expected.trailers, "codec and exchange agree on the trailers");
    Require(!result->reusable || expected.keep_alive, "an end is an end");
  }
  loop.Poll();
  Require(loop.timers().armed() == 0, "no timer is left");
}

void Try(std::string_view input) {
  const uint8_t options = TakeByte(input);
  const uint8_t cuts = TakeByte(input);
  HttpLimits limits;
  // Small ones, so that inputs of a readable size come to them.
  if ((options & 1) != 0)
    limits = {.max_status_line_bytes = 40,
              .max_head_bytes = 200,
              .max_header_count = 5,
              .max_field_bytes = 60,
              .max_chunk_header_bytes = 20,
              .max_chunk_overhead_bytes = 60,
              .max_trailer_bytes = 50,
              .max_interim_responses = 2};
  const bool head_request = (options & 2) != 0;
  const Reading whole = Reader(input, limits, head_request, nullptr).Run();
  Dice dice(cuts);
  const Reading cut = Reader(input, limits, head_request, &dice).Run();
  RequireSame(whole, cut);
  if ((options & 4) != 0) RequireSameOfExchange(input, limits, head_request, Dice(cuts), whole);
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}
