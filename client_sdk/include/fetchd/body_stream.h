#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fetchd/connection.h"
#include "fetchd/stream_range.h"
#include "fetchd/v1/fetch_service.pb.h"

namespace fetchd {

// Reads the response of a streamed fetch: head, then the body piece by piece, then the tail.
//
//   fetchd::BodyReader reader = client.Stream(request);
//   for (absl::StatusOr<std::string>& piece : reader) {
//     if (!piece.ok()) return piece.status();
//     file << *piece;
//   }
//   if (!reader.complete()) ...  // reader.tail()->error() says what the origin did
//
// Reading slowly slows the origin down; nothing piles up on the way. Destroying the reader before the end cancels the
// fetch. One thread at a time.
class BodyReader {
 public:
  // Made by Client; takes `call` whose `start` has been sent.
  explicit BodyReader(std::shared_ptr<StreamCall> call);
  BodyReader(BodyReader&&) noexcept;
  BodyReader& operator=(BodyReader&&) noexcept;
  ~BodyReader();

  // Status and headers. Waits for them. nullptr: no response began; tail() says what the origin did, or if that is
  // nullptr too, status() why fetchd has no verdict.
  const v1::ResponseHead* head();
  // The next piece of the body, at most 1 MiB; nullopt after the last one; a status if fetchd failed.
  absl::StatusOr<std::optional<std::string>> Read();
  // The pieces as a range. Not to be mixed with Read.
  StreamRange<std::string>::iterator begin();
  StreamRange<std::string>::iterator end();
  // How the fetch ended; nullptr before the body has been read to its end, and if fetchd failed.
  const v1::StreamTail* tail() const;
  // How the RPC ended; OK also while it has not.
  absl::Status status() const;
  // The response came whole: there was a head, and the tail has no error.
  bool complete() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Writes the body of a request, piece by piece. Destroying it without Close cancels the fetch, so that no origin takes
// half a body for a whole one. One thread at a time; another one may read the response meanwhile.
class BodyWriter {
 public:
  // Made by Client; takes `call` whose `start` has been sent.
  explicit BodyWriter(std::shared_ptr<StreamCall> call);
  BodyWriter(BodyWriter&&) noexcept = default;
  BodyWriter& operator=(BodyWriter&& other) noexcept;
  ~BodyWriter();

  // Sends a piece of any size; blocks while the origin takes nothing. False: the fetch has ended already (an origin may
  // answer before it has read everything); the reader has the rest of the story.
  [[nodiscard]] bool Write(std::string_view piece);
  // Says that the body is complete. False as with Write.
  bool Close();

 private:
  std::shared_ptr<StreamCall> call_;
};

// Both ends of a fetch with a streamed request body. Origins usually answer when they have the body: write, Close, then
// read. An origin that answers while it reads (an echo) needs a thread for each.
struct BodyStream {
  BodyWriter writer;
  BodyReader reader;
};

}  // namespace fetchd
