#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <string>
#include <vector>

namespace fetchd::bench {

enum class Rpc { kFetch, kBatch, kStream, kPaged };
enum class Api {
  kFetchd,  // fetchd.v1.FetchService.
  kPeer,    // peers/peer.proto. It cannot page: kPaged walks `pages` by Fetch, as its user would.
};

// What each slot asks for, again and again, and what it expects. One "call" is one RPC, except for kPaged at a peer.
struct Workload {
  Api api = Api::kFetchd;
  Rpc rpc = Rpc::kFetch;
  // Taken in turn, one for each call. For kBatch: in turn for each item. For kPaged: the pages in order; fetchd is
  // given the first alone.
  std::vector<std::string> urls;
  // Of fetchd: the origin is spoken to by HTTP/2.
  bool http2 = false;
  // Size of every good body, in bytes. Not looked at for kPaged.
  size_t body_bytes = 0;
  // kBatch: items, and of these at the front the ones that go to `failing_url` (one attempt) and have to fail.
  int batch_items = 1;
  int failing_items = 0;
  std::string failing_url;
  // kPaged: items of a page.
  int items_per_page = 0;

  // Fetches that one call stands for.
  int FetchesPerCall() const;
  // The path of the RPC, "/fetchd.v1.FetchService/Fetch".
  std::string Method() const;
  // Whether replies are a stream of messages.
  bool ReplyIsStream() const;
  // The requests, serialised once, to be sent in turn.
  std::vector<grpc::ByteBuffer> SerializedRequests() const;
};

}  // namespace fetchd::bench
