#include "bench/load_slot.h"

#include "bench/reply_check.h"

namespace fetchd::bench {
namespace {

using Clock = std::chrono::steady_clock;

class CountingSlot : public LoadSlot {
 public:
  CountingSlot(const SlotContext& context, grpc::GenericStub* stub, size_t first_request, size_t slots)
      : context_(context), stub_(stub), check_(MakeReplyCheck(*context.work)), next_(first_request), stride_(slots) {}

 protected:
  const SlotContext& context() const { return context_; }
  grpc::GenericStub& stub() const { return *stub_; }
  ReplyCheck& check() const { return *check_; }
  void* tag() { return static_cast<LoadSlot*>(this); }

  // False if no further call may begin.
  bool Begin() {
    if (context_.tally->calls_left == 0) return false;
    --context_.tally->calls_left;
    ++context_.tally->active;
    began_ = Clock::now();
    return true;
  }
  void Took(const grpc::ByteBuffer& message) {
    check_->Take(message);
    if (context_.tally->measuring) context_.tally->bytes += message.Length();
  }
  // The call ended; `wrong` is empty if all was well. Begins the next one.
  void End(const std::string& wrong) {
    Tally& tally = *context_.tally;
    --tally.active;
    if (!wrong.empty()) {
      if (tally.measuring) ++tally.errors;
      if (tally.first_error.empty()) tally.first_error = wrong;
    } else if (tally.measuring) {
      ++tally.calls;
      tally.latencies_us.push_back(std::chrono::duration<float, std::micro>(Clock::now() - began_).count());
    }
    Start();
  }
  const grpc::ByteBuffer& NextRequest() {
    const auto& requests = *context_.requests;
    const grpc::ByteBuffer& request = requests[next_ % requests.size()];
    next_ += stride_;
    return request;
  }

 private:
  const SlotContext context_;
  grpc::GenericStub* const stub_;
  const std::unique_ptr<ReplyCheck> check_;
  size_t next_;
  const size_t stride_;
  Clock::time_point began_;
};

// One unary RPC a call; at a peer that has to walk pages, one RPC a page.
class UnarySlot final : public CountingSlot {
 public:
  UnarySlot(const SlotContext& context, grpc::GenericStub* stub, size_t first_request, size_t slots)
      : CountingSlot(context, stub, context.work->rpc == Rpc::kPaged ? 0 : first_request,
                     context.work->rpc == Rpc::kPaged ? 1 : slots),
        rpcs_per_call_(context.work->rpc == Rpc::kPaged ? context.work->urls.size() : 1) {}

  void Start() override {
    if (!Begin()) return;
    rpcs_done_ = 0;
    StartRpc();
  }
  void OnEvent(bool) override {
    std::string wrong;
    if (!status_.ok()) {
      wrong = status_.error_message();
    } else {
      Took(reply_);
      wrong = check().End();
    }
    if (wrong.empty() && ++rpcs_done_ < rpcs_per_call_) return StartRpc();
    End(wrong);
  }

 private:
  void StartRpc() {
    check().Begin();
    call_.reset();
    client_context_ = std::make_unique<grpc::ClientContext>();
    reply_.Clear();
    call_ = stub().PrepareUnaryCall(client_context_.get(), *context().method, NextRequest(), context().queue);
    call_->StartCall();
    call_->Finish(&reply_, &status_, tag());
  }

  const size_t rpcs_per_call_;
  size_t rpcs_done_ = 0;
  std::unique_ptr<grpc::ClientContext> client_context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
};

// One request, a stream of replies.
class StreamSlot final : public CountingSlot {
 public:
  using CountingSlot::CountingSlot;

  void Start() override {
    if (!Begin()) return;
    check().Begin();
    call_.reset();
    client_context_ = std::make_unique<grpc::ClientContext>();
    // Metadata and request go out in one write, and StartCall brings no event of its own.
    client_context_->set_initial_metadata_corked(true);
    call_ = stub().PrepareCall(client_context_.get(), *context().method, context().queue);
    call_->StartCall(tag());
    state_ = State::kWriting;
    call_->WriteLast(NextRequest(), grpc::WriteOptions(), tag());
  }
  void OnEvent(bool ok) override {
    if (state_ == State::kFinishing) {
      if (!status_.ok()) return End(status_.error_message());
      return End(check().End());
    }
    if (!ok) {
      state_ = State::kFinishing;
      return call_->Finish(&status_, tag());
    }
    if (state_ == State::kReading) Took(message_);
    state_ = State::kReading;
    call_->Read(&message_, tag());
  }

 private:
  enum class State { kWriting, kReading, kFinishing };

  State state_ = State::kWriting;
  std::unique_ptr<grpc::ClientContext> client_context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer message_;
  grpc::Status status_;
};

}  // namespace

std::unique_ptr<LoadSlot> MakeLoadSlot(const SlotContext& context, grpc::GenericStub* stub, size_t first_request,
                                       size_t slots) {
  if (context.work->ReplyIsStream()) return std::make_unique<StreamSlot>(context, stub, first_request, slots);
  return std::make_unique<UnarySlot>(context, stub, first_request, slots);
}

}  // namespace fetchd::bench
