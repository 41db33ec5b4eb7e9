#include "rpc/stream_call.h"

#include <array>
#include <utility>
#include <vector>

#include "http/multipart_body.h"
#include "rpc/raw_message.h"
#include "rpc/response_writer.h"

namespace fetchd::server {
namespace {

// Field 2 of FetchStreamResponse, length-delimited.
constexpr uint8_t kChunkKey = (2 << 3) | 2;

grpc::Slice ChunkHeader(uint64_t size) {
  std::array<uint8_t, 11> bytes{kChunkKey};
  size_t n = 1;
  for (; size >= 0x80; size >>= 7) bytes[n++] = static_cast<uint8_t>(size | 0x80);
  bytes[n++] = static_cast<uint8_t>(size);
  return {bytes.data(), n};
}

}  // namespace

StreamCall::StreamCall(RpcDesk& desk) : RpcCall(desk) {
  NotifyWhenDone();
  desk.service.RequestFetchStream(&context_, &stream_, &desk.cq, &desk.cq, arrived_.Arm());
}

StreamCall::~StreamCall() {
  if (bridge_ != nullptr) bridge_->Detach();
}

void StreamCall::OnArrived(bool ok) {
  if (!ok) return;
  new StreamCall(desk_);
  Arrived();
  reading_ = true;
  stream_.Read(&incoming_, read_.Arm());
}

void StreamCall::OnRead(bool ok) {
  reading_ = false;
  if (finished_called_ || refused_) return;
  if (!ok) {
    read_all_ = true;
    if (bridge_ == nullptr) return Refuse(InvalidRequest{{{"start", "is required as the first message"}}});
    if (!boundary_.empty() && !any_part_) return Refuse(InvalidRequest{{{"part", "is required at least once"}}});
    if (streams_body_) SettleHalfClose();
    return;
  }
  v1::FetchStreamRequest message;
  if (!ParseMessage(incoming_, message)) return Refuse(InvalidRequest{{{"message", "is not a FetchStreamRequest"}}});
  switch (message.message_case()) {
    case v1::FetchStreamRequest::kStart:
      if (bridge_ != nullptr) return Refuse(InvalidRequest{{{"start", "must come only once"}}});
      return Begin(std::move(*message.mutable_start()));
    case v1::FetchStreamRequest::kChunk:
      if (bridge_ == nullptr) return Refuse(InvalidRequest{{{"start", "is required as the first message"}}});
      if (!streams_body_) return Refuse(InvalidRequest{{{"chunk", "needs start.streams_body"}}});
      if (!boundary_.empty() && !any_part_)
        return Refuse(InvalidRequest{{{"chunk", "needs a part before it, with start.streams_multipart"}}});
      bridge_->Push(std::move(*message.mutable_chunk()));
      return ReadOn();
    case v1::FetchStreamRequest::kPart:
      return BeginPart(message.part());
    case v1::FetchStreamRequest::MESSAGE_NOT_SET:
      return Refuse(InvalidRequest{{{"message", "needs one of start, chunk and part"}}});
  }
}

void StreamCall::Begin(v1::FetchStreamStart&& start) {
  std::variant<RpcFacts, Refusal> facts = Facts();
  if (auto* refusal = std::get_if<Refusal>(&facts)) return Refuse(std::move(*refusal));
  auto read = desk_.reader.ReadStreamStart(std::move(start), std::get<RpcFacts>(facts));
  if (auto* refusal = std::get_if<Refusal>(&read)) return Refuse(std::move(*refusal));
  const Priority priority = std::get<StreamSpec>(read).fetch.priority;
  if (auto refusal = Admit(1, std::get<RpcFacts>(facts), priority)) return Refuse(*std::move(refusal));
  auto& spec = std::get<StreamSpec>(read);
  streams_body_ = spec.streams_body;
  boundary_ = std::move(spec.boundary);
  std::optional<StreamBridge::Upload> upload;
  if (streams_body_) upload = StreamBridge::Upload{spec.body_length};
  bridge_ = std::make_shared<StreamBridge>(desk_.home, *this, upload, desk_.buffered_bytes, desk_.clock);
  bridge_->spec = std::move(spec.fetch);
  running_ = true;
  Hold();  // until the outcome was taken
  // Without a streamed body too: a chunk is refused then.
  ReadOn();
  desk_.starter.Start(bridge_);
}

void StreamCall::BeginPart(const v1::MultipartPart& part) {
  if (bridge_ == nullptr) return Refuse(InvalidRequest{{{"start", "is required as the first message"}}});
  if (boundary_.empty()) return Refuse(InvalidRequest{{{"part", "needs start.streams_multipart"}}});
  auto read = RequestReader::ReadPart(part, boundary_, !any_part_);
  if (auto* refusal = std::get_if<Refusal>(&read)) return Refuse(std::move(*refusal));
  any_part_ = true;
  bridge_->Push(std::get<std::string>(std::move(read)));
  ReadOn();
}

void StreamCall::EndUpload() {
  if (!boundary_.empty()) {
    std::string end;
    AppendMultipartEnd(boundary_, end);
    bridge_->Push(std::move(end));
  }
  bridge_->EndUpload();
}

void StreamCall::ReadOn() {
  if (reading_ || read_all_ || !running_ || refused_ || !bridge_->WantsUpload()) return;
  reading_ = true;
  stream_.Read(&incoming_, read_.Arm());
}

// The caller half-closed, or is gone: the same to Read, but a broken upload must not be ended like a whole one. A
// stream that is gone takes no metadata, while one that was half-closed does; so they are sent now, ahead of the
// response. If that has begun already, the tag that says that the caller is gone must do; it is, but for a thread that
// loses its core in between, on the queue by the time an alarm comes.
void StreamCall::SettleHalfClose() {
  if (writing_ || metadata_sent_) {
    alarm_.Set(&desk_.cq, gpr_time_0(GPR_CLOCK_MONOTONIC), half_close_settled_.Arm());
    return;
  }
  writing_ = metadata_sent_ = true;
  stream_.SendInitialMetadata(metadata_written_.Arm());
}

void StreamCall::OnHalfCloseSettled(bool) {
  if (!cancelled_) EndUpload();
}

void StreamCall::OnMetadataWritten(bool ok) {
  writing_ = false;
  if (refused_) {
    Finish();
  } else if (ok && !cancelled_) {
    EndUpload();
  } else {
    // Gone: the call's end is on its way.
    bridge_->FailUpload();
  }
  WriteOn();
}

void StreamCall::OnCancelled() {
  if (bridge_ == nullptr) return;
  bridge_->FailUpload();
  if (running_) desk_.starter.Cancel(bridge_);
}

void StreamCall::OnBridge() {
  ReadOn();
  WriteOn();
}

void StreamCall::WriteOn() {
  if (writing_ || !running_) return;
  std::optional<ResponseHead> head = bridge_->TakeHead();
  // What an RPC that was refused in the middle still gets of its fetch is dropped.
  if (head && !refused_) return Write(*head);
  for (;;) {
    const std::optional<uint64_t> resumed = bridge_->TakeResumed();
    if (resumed && !refused_) return WriteResumed(*resumed);
    std::vector<StreamBridge::Piece> pieces = bridge_->TakePieces();
    if (pieces.empty() && !resumed) break;
    if (!pieces.empty() && !refused_) return Write(std::move(pieces));
  }
  std::optional<Outcome> outcome = bridge_->TakeOutcome();
  if (!outcome) return;
  running_ = false;
  if (!refused_) End(*std::move(outcome));
  Release();
}

void StreamCall::Write(const ResponseHead& head) {
  v1::FetchStreamResponse message;
  WriteHead(head, *message.mutable_head());
  writing_ = metadata_sent_ = true;
  // No buffer hint, though the next message may be here already: gRPC 1.51 holds back a hinted message that goes with
  // the initial metadata, and with it the tag that would let the next one follow.
  stream_.Write(SerialiseMessage(message), written_.Arm());
}

void StreamCall::Write(std::vector<StreamBridge::Piece> pieces) {
  uint64_t size = 0;
  for (const StreamBridge::Piece& piece : pieces) size += piece.size;
  body_bytes_ += size;
  std::vector<grpc::Slice> slices;
  slices.reserve(pieces.size() + 1);
  slices.push_back(ChunkHeader(size));
  for (StreamBridge::Piece& piece : pieces)
    slices.push_back(SliceKeeping(piece.data(), piece.size, std::move(piece.block)));
  writing_ = true;
  stream_.Write(grpc::ByteBuffer(slices.data(), slices.size()), written_.Arm());
}

void StreamCall::WriteResumed(uint64_t offset) {
  v1::FetchStreamResponse message;
  message.mutable_resumed()->set_offset(offset);
  writing_ = true;
  stream_.Write(SerialiseMessage(message), written_.Arm());
}

void StreamCall::End(Outcome outcome) {
  if (outcome.failure && outcome.failure->code == FailureCode::kCancelled) return Refuse(CallerCancelled{});
  if (outcome.failure && outcome.failure->code == FailureCode::kInternal)
    return Refuse(Broken{bridge_->spec.id, outcome.failure->detail});
  v1::FetchStreamResponse message;
  std::string url = outcome.failure ? bridge_->spec.url.Redacted() : std::string();
  WriteTail(std::move(outcome), bridge_->spec.id, std::move(url), body_bytes_, *message.mutable_tail());
  finished_called_ = true;
  stream_.WriteAndFinish(SerialiseMessage(message), grpc::WriteOptions(), grpc::Status::OK, finished_.Arm());
}

void StreamCall::OnWritten(bool ok) {
  writing_ = false;
  if (refused_) {
    Finish();
  } else if (!ok) {
    Refuse(CallerCancelled{});
  }
  WriteOn();
}

void StreamCall::Refuse(Refusal refusal) {
  if (refused_) return;
  refused_ = std::move(refusal);
  if (running_) {
    bridge_->FailUpload();
    desk_.starter.Cancel(bridge_);
  }
  Finish();
}

void StreamCall::Finish() {
  if (writing_ || finished_called_) return;
  finished_called_ = true;
  stream_.Finish(ToStatus(*refused_), finished_.Arm());
}

}  // namespace fetchd::server
