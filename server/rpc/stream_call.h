// FetchService.FetchStream.
#pragma once

#include <grpcpp/alarm.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rpc/rpc_call.h"
#include "rpc/stream_bridge.h"

namespace fetchd::server {

// One FetchStream. See RpcCall for ownership and thread.
class StreamCall final : public RpcCall, public StreamListener {
 public:
  // Waits for a call, and has another one made when it comes.
  explicit StreamCall(RpcDesk& desk);

 private:
  ~StreamCall() override;
  void OnArrived(bool ok);
  void OnRead(bool ok);
  void OnHalfCloseSettled(bool ok);
  void OnMetadataWritten(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool) {}
  void OnCancelled() override;
  void OnBridge() override;

  void Begin(v1::FetchStreamStart&& start);
  void BeginPart(const v1::MultipartPart& part);
  // Finds out whether the caller has said all, or is gone.
  void SettleHalfClose();
  // The request body is complete.
  void EndUpload();
  // Asks for the caller's next message if it may be read.
  void ReadOn();
  // Writes what has arrived, if no write is in flight.
  void WriteOn();
  void Write(const ResponseHead& head);
  void Write(std::vector<StreamBridge::Piece> pieces);
  void WriteResumed(uint64_t offset);
  // The tail, or a status if there is no verdict.
  void End(Outcome outcome);
  // Ends the RPC with a status, as soon as no write is in flight; the fetch is aborted.
  void Refuse(Refusal refusal);
  void Finish();

  grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> stream_{&context_};
  CallTag<StreamCall> arrived_{this, &StreamCall::OnArrived};
  CallTag<StreamCall> read_{this, &StreamCall::OnRead};
  CallTag<StreamCall> half_close_settled_{this, &StreamCall::OnHalfCloseSettled};
  CallTag<StreamCall> metadata_written_{this, &StreamCall::OnMetadataWritten};
  CallTag<StreamCall> written_{this, &StreamCall::OnWritten};
  CallTag<StreamCall> finished_{this, &StreamCall::OnFinished};

  grpc::ByteBuffer incoming_;
  grpc::Alarm alarm_;
  // From the first message on.
  std::shared_ptr<StreamBridge> bridge_;
  bool streams_body_ = false;
  // Of a body that is streamed in parts; else empty.
  std::string boundary_;
  bool any_part_ = false;
  // Until the fetch's outcome was taken.
  bool running_ = false;
  bool reading_ = false;
  bool read_all_ = false;
  bool writing_ = false;
  bool metadata_sent_ = false;
  bool finished_called_ = false;
  std::optional<Refusal> refused_;
  uint64_t body_bytes_ = 0;
};

}  // namespace fetchd::server
