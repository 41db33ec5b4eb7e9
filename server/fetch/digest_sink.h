// Checks digests of a body on its way to the caller.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/body_io.h"

struct evp_md_ctx_st;

namespace fetchd::server {

enum class DigestAlgorithm : uint8_t { kSha256, kSha512 };

// A digest that a body must have.
struct WantedDigest {
  DigestAlgorithm algorithm = DigestAlgorithm::kSha256;
  // 32 or 64 bytes.
  std::string bytes;
  // Who says so, for people: "expect.sha256", "repr-digest".
  std::string_view source;
};

// Reads the value of a Repr-Digest or Content-Digest field (RFC 9530 section 2, 3): adds its sha-256 and sha-512 to
// `wanted`, with `source`; other algorithms are skipped. False if it is malformed.
bool ReadDigestField(std::string_view value, std::string_view source, std::vector<WantedDigest>& wanted);

// Hashes what goes through. Belongs to the owner thread of the fetch, like the sink after it.
class DigestSink final : public ResponseSink {
 public:
  // `next` outlives this. `wanted` is not empty.
  DigestSink(ResponseSink& next, std::vector<WantedDigest> wanted);
  ~DigestSink() override;
  DigestSink(const DigestSink&) = delete;
  DigestSink& operator=(const DigestSink&) = delete;

  void OnHead(ResponseHead head) override { next_.OnHead(std::move(head)); }
  std::span<char> Prepare(size_t want) override { return prepared_ = next_.Prepare(want); }
  void Commit(size_t n) override;
  Event& Writable() override { return next_.Writable(); }
  void OnResumed(uint64_t offset) override { next_.OnResumed(offset); }
  const Failure* refusal() const override { return next_.refusal(); }
  uint64_t BytesFor(uint64_t limit) const override { return next_.BytesFor(limit); }

  // The body has ended. kBodyDigestMismatch if it is not what was wanted. At most once.
  std::optional<Failure> Check();

 private:
  struct ContextDeleter {
    void operator()(evp_md_ctx_st* context) const;
  };

  ResponseSink& next_;
  const std::vector<WantedDigest> wanted_;
  // By DigestAlgorithm; null: not wanted.
  std::array<std::unique_ptr<evp_md_ctx_st, ContextDeleter>, 2> contexts_;
  std::span<char> prepared_;
};

}  // namespace fetchd::server
