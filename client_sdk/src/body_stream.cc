#include "fetchd/body_stream.h"

#include <algorithm>
#include <utility>

namespace fetchd {

struct BodyReader::State {
  explicit State(std::shared_ptr<StreamCall> stream_call)
      : call(std::move(stream_call)), pieces([this] { return Next(); }) {}
  ~State() {
    if (!ended.has_value()) call->Cancel();
  }

  // Reads until there is a head, or the end.
  void WaitForHead() {
    if (head.has_value() || ended.has_value()) return;
    v1::FetchStreamResponse message;
    if (!Receive(&message)) return;
    if (message.has_head()) {
      head = std::move(*message.mutable_head());
    } else {
      Abort("a piece of the body came before the head");
    }
  }

  std::optional<absl::StatusOr<std::string>> Next() {
    WaitForHead();
    v1::FetchStreamResponse message;
    while (!ended.has_value() && Receive(&message)) {
      if (!message.has_chunk()) {
        Abort("a second head came");
      } else if (!message.chunk().empty()) {
        return std::move(*message.mutable_chunk());
      }
    }
    if (ended->ok()) return std::nullopt;
    return *ended;
  }

  // The next message that is not the tail; takes that one in. False: the call has ended.
  bool Receive(v1::FetchStreamResponse* message) {
    while (call->Read(message)) {
      // Nothing is missing from the body, nor is it there twice.
      if (message->has_resumed()) continue;
      if (!message->has_tail()) return true;
      tail = std::move(*message->mutable_tail());
    }
    ended = call->Finish();
    if (ended->ok() && !tail.has_value()) ended = absl::InternalError("fetchd ended the stream without a tail");
    return false;
  }

  void Abort(const char* what) {
    call->Cancel();
    ended = absl::InternalError(what);
  }

  std::shared_ptr<StreamCall> call;
  std::optional<v1::ResponseHead> head;
  std::optional<v1::StreamTail> tail;
  // How the RPC ended.
  std::optional<absl::Status> ended;
  StreamRange<std::string> pieces;
};

BodyReader::BodyReader(std::shared_ptr<StreamCall> call) : state_(std::make_unique<State>(std::move(call))) {}
BodyReader::BodyReader(BodyReader&&) noexcept = default;
BodyReader& BodyReader::operator=(BodyReader&&) noexcept = default;
BodyReader::~BodyReader() = default;

const v1::ResponseHead* BodyReader::head() {
  state_->WaitForHead();
  return state_->head.has_value() ? &*state_->head : nullptr;
}

absl::StatusOr<std::optional<std::string>> BodyReader::Read() {
  std::optional<absl::StatusOr<std::string>> piece = state_->pieces.Next();
  if (!piece.has_value()) {
    // Also after an error: it stays the answer.
    if (absl::Status ended = status(); !ended.ok()) return ended;
    return std::optional<std::string>();
  }
  if (!piece->ok()) return piece->status();
  return std::optional<std::string>(*std::move(*piece));
}

StreamRange<std::string>::iterator BodyReader::begin() { return state_->pieces.begin(); }
StreamRange<std::string>::iterator BodyReader::end() { return state_->pieces.end(); }

const v1::StreamTail* BodyReader::tail() const { return state_->tail.has_value() ? &*state_->tail : nullptr; }

absl::Status BodyReader::status() const { return state_->ended.value_or(absl::OkStatus()); }

bool BodyReader::complete() const {
  return state_->head.has_value() && state_->tail.has_value() && !state_->tail->has_error() && status().ok();
}

BodyWriter::BodyWriter(std::shared_ptr<StreamCall> call) : call_(std::move(call)) {}

BodyWriter& BodyWriter::operator=(BodyWriter&& other) noexcept {
  if (this == &other) return *this;
  if (call_ != nullptr) call_->Cancel();
  call_ = std::move(other.call_);
  return *this;
}

BodyWriter::~BodyWriter() {
  if (call_ != nullptr) call_->Cancel();
}

bool BodyWriter::Write(std::string_view piece) {
  if (call_ == nullptr) return false;
  // Well below gRPC's message limit of 4 MiB, and large enough to cost nothing per message.
  constexpr size_t kMaxMessage = 256 * 1024;
  v1::FetchStreamRequest message;
  while (!piece.empty()) {
    message.set_chunk(piece.data(), std::min(piece.size(), kMaxMessage));
    if (!call_->Write(message)) return false;
    piece.remove_prefix(message.chunk().size());
  }
  return true;
}

bool BodyWriter::Close() {
  const std::shared_ptr<StreamCall> call = std::exchange(call_, nullptr);
  return call != nullptr && call->WritesDone();
}

}  // namespace fetchd
