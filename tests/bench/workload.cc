#include "bench/workload.h"

#include <grpcpp/support/slice.h>

#include "fetchd/v1/fetch_service.pb.h"
#include "peer.pb.h"

namespace fetchd::bench {
namespace {

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message) {
  grpc::Slice slice(message.SerializeAsString());
  return {&slice, 1};
}

void FillRequest(const std::string& url, fetchpeer::FetchRequest* request) {
  request->set_method("GET");
  request->set_url(url);
}

void FillRequest(const std::string& url, v1::FetchRequest* request) { request->set_url(url); }

void AskForHttp2(fetchpeer::FetchRequest*) {}
void AskForHttp2(v1::FetchRequest* request) { request->mutable_transport()->set_http_version(v1::HTTP_VERSION_HTTP_2); }

// Peers do not retry, so a failure that is meant is asked for once.
void ForbidRetries(fetchpeer::FetchRequest*) {}
void ForbidRetries(v1::FetchRequest* request) { request->mutable_retry()->set_max_attempts(1); }

template <class Batch>
grpc::ByteBuffer SerializedBatch(const Workload& work) {
  Batch batch;
  for (int i = 0; i < work.batch_items; ++i) {
    auto* request = batch.add_requests();
    if (i < work.failing_items) {
      FillRequest(work.failing_url, request);
      ForbidRetries(request);
    } else {
      FillRequest(work.urls[static_cast<size_t>(i) % work.urls.size()], request);
      if (work.http2) AskForHttp2(request);
    }
  }
  return Serialize(batch);
}

}  // namespace

int Workload::FetchesPerCall() const {
  if (rpc == Rpc::kBatch) return batch_items;
  if (rpc == Rpc::kPaged) return static_cast<int>(urls.size());
  return 1;
}

std::string Workload::Method() const {
  const std::string service = api == Api::kFetchd ? "/fetchd.v1.FetchService/" : "/fetchpeer.Peer/";
  switch (rpc) {
    case Rpc::kFetch:
      return service + "Fetch";
    case Rpc::kBatch:
      return service + "FetchBatch";
    case Rpc::kStream:
      return service + "FetchStream";
    case Rpc::kPaged:
      return service + (api == Api::kFetchd ? "FetchPaged" : "Fetch");
  }
  return {};
}

bool Workload::ReplyIsStream() const {
  if (rpc == Rpc::kStream) return true;
  return api == Api::kFetchd && rpc != Rpc::kFetch;
}

std::vector<grpc::ByteBuffer> Workload::SerializedRequests() const {
  std::vector<grpc::ByteBuffer> requests;
  if (rpc == Rpc::kBatch) {
    requests.push_back(api == Api::kFetchd ? SerializedBatch<v1::FetchBatchRequest>(*this)
                                           : SerializedBatch<fetchpeer::BatchRequest>(*this));
    return requests;
  }
  if (api == Api::kFetchd && rpc == Rpc::kPaged) {
    v1::FetchPagedRequest request;
    FillRequest(urls.front(), request.mutable_request());
    request.mutable_next_url()->set_pointer("/next");
    request.set_items("/items");
    request.set_unit(v1::FetchPagedRequest::UNIT_ITEM);
    requests.push_back(Serialize(request));
    return requests;
  }
  for (const std::string& url : urls) {
    if (api == Api::kPeer) {
      fetchpeer::FetchRequest request;
      FillRequest(url, &request);
      requests.push_back(Serialize(request));
    } else if (rpc == Rpc::kStream) {
      v1::FetchStreamRequest request;
      FillRequest(url, request.mutable_start()->mutable_request());
      if (http2) AskForHttp2(request.mutable_start()->mutable_request());
      requests.push_back(Serialize(request));
    } else {
      v1::FetchRequest request;
      FillRequest(url, &request);
      if (http2) AskForHttp2(&request);
      requests.push_back(Serialize(request));
    }
  }
  return requests;
}

}  // namespace fetchd::bench
