#include "fetch/body_chain.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "fetch/digest_sink.h"
#include "fetch/json_sink.h"
#include "http/decoding_sink.h"
#include "model/body_contract.h"

namespace fetchd::server {
namespace {

Failure Fail(FailureCode code, std::string detail) {
  return {.code = code, .phase = Phase::kDecode, .processed = Processed::kYes, .detail = std::move(detail)};
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Of a Content-Type, in lower case and without parameters.
std::string MediaType(std::string_view content_type) {
  return Lower(TrimBlanks(content_type.substr(0, content_type.find(';'))));
}

bool IsExpected(const std::vector<std::string>& expected, std::string_view type) {
  return std::any_of(expected.begin(), expected.end(), [type](std::string_view pattern) {
    if (pattern == "*/*") return !type.empty();
    if (pattern.ends_with("/*")) return type.starts_with(pattern.substr(0, pattern.size() - 1));
    return type == pattern;
  });
}

// Digests of the body as it is received. nullopt if a field that has one is malformed.
std::optional<std::vector<WantedDigest>> WantedOf(const ResponseHead& head) {
  std::vector<WantedDigest> wanted;
  for (const HeaderView field : head.headers) {
    // Of a part of a representation, Repr-Digest says nothing (RFC 9530 section 3).
    if (field.name == "repr-digest" && head.status != 206) {
      if (!ReadDigestField(field.value, "repr-digest", wanted)) return std::nullopt;
    } else if (field.name == "content-digest") {
      if (!ReadDigestField(field.value, "content-digest", wanted)) return std::nullopt;
    }
  }
  return wanted;
}

}  // namespace

// From the caller's end to the engine's.
struct BodyChain::Work {
  std::optional<JsonSink> json;
  std::optional<DigestSink> decoded_digest;
  std::optional<DecodingSink> decoding;
  std::optional<DigestSink> received_digest;
  std::optional<Failure> refusal;
};

BodyChain::BodyChain(const FetchSpec& spec, ResponseSink& caller, SharedCell& held)
    : spec_(spec),
      caller_(caller),
      held_(held),
      wanted_(spec.decoding != Decoding::kPassThrough || spec.contract != nullptr),
      front_(&caller) {}

BodyChain::~BodyChain() = default;

void BodyChain::OnHead(ResponseHead head) {
  CodingsFound codings;
  if (spec_.decoding != Decoding::kPassThrough && head.content_length.value_or(1) > 0 && head.status != 206)
    codings = FindCodings(head.headers);
  const bool contract = spec_.contract != nullptr && head.status <= 299;
  switch (codings.verdict) {
    case CodingsFound::Verdict::kNone:
    case CodingsFound::Verdict::kUnknown:
      if (!contract) return caller_.OnHead(std::move(head));
      break;
    case CodingsFound::Verdict::kKnown:
      break;
    case CodingsFound::Verdict::kTooMany:
      return Refuse(std::move(head), FailureCode::kContentCodingLimit, "more than 3 content codings one on the other");
  }
  Begin(std::move(head), codings.list, contract);
}

void BodyChain::Refuse(ResponseHead head, FailureCode code, std::string detail) {
  work_ = std::make_unique<Work>();
  work_->refusal = Fail(code, std::move(detail));
  front_ = nullptr;
  caller_.OnHead(std::move(head));
}

void BodyChain::Begin(ResponseHead head, CodingList codings, bool contract) {
  std::vector<WantedDigest> received;
  const bool body = spec_.method != "HEAD";
  if (contract) {
    const BodyContract& wanted = *spec_.contract;
    if (!wanted.content_types.empty()) {
      const std::string type = MediaType(head.headers.Find("content-type").value_or(""));
      if (!IsExpected(wanted.content_types, type))
        return Refuse(std::move(head), FailureCode::kContentTypeUnexpected,
                      type.empty() ? "the response has no content-type" : Concat("the content-type is ", type));
    }
    if (wanted.digest != BodyContract::Digest::kIgnore && body) {
      std::optional<std::vector<WantedDigest>> digests = WantedOf(head);
      if (!digests)
        return Refuse(std::move(head), FailureCode::kBodyDigestMismatch, "a malformed repr-digest or content-digest");
      if (digests->empty() && wanted.digest == BodyContract::Digest::kRequire)
        return Refuse(std::move(head), FailureCode::kBodyDigestMismatch,
                      "the response has no sha-256 or sha-512 in repr-digest or content-digest");
      received = *std::move(digests);
    }
  }

  work_ = std::make_unique<Work>();
  if (contract && body) {
    const BodyContract& wanted = *spec_.contract;
    if (wanted.json || wanted.select) front_ = &work_->json.emplace(*front_, wanted, held_);
    if (wanted.sha256) {
      WantedDigest digest{.bytes = {wanted.sha256->begin(), wanted.sha256->end()}, .source = "expect.sha256"};
      front_ = &work_->decoded_digest.emplace(*front_, std::vector{std::move(digest)});
    }
  }
  if (!codings.empty()) front_ = &work_->decoding.emplace(*front_, codings, spec_.body_limit, held_);
  if (!received.empty()) front_ = &work_->received_digest.emplace(*front_, std::move(received));
  front_->OnHead(std::move(head));
}

const Failure* BodyChain::refusal() const {
  if (work_ == nullptr) return caller_.refusal();
  if (work_->refusal) return &*work_->refusal;
  return front_->refusal();
}

Task<void> BodyChain::Finish(CancelScope& scope, AttemptOutcome& result) {
  // An engine that was not told of a refusal, because it put the response aside first, has no failure for it.
  if (!result.failure && refusal() != nullptr) result.failure = *refusal();
  if (result.failure) {
    if (work_->decoding && work_->decoding->cut() && refusal() != nullptr) {
      result.failure.reset();
      result.truncated = true;
    } else {
      co_return;
    }
  }
  result.failure = co_await Complete(scope, result);
}

Task<std::optional<Failure>> BodyChain::Complete(CancelScope& scope, AttemptOutcome& result) {
  const auto stopped = [&scope] { return Fail(scope.reason(), "the fetch ended before its response was taken"); };
  if (work_->decoding && !work_->decoding->cut()) {
    bool flushed = co_await work_->decoding->Flush(scope);
    if (!flushed) co_return stopped();
    if (work_->decoding->cut())
      result.truncated = true;
    else if (const Failure* refused = refusal())
      co_return *refused;
    else if (!result.truncated)
      if (std::optional<Failure> failure = work_->decoding->CheckEnd()) co_return failure;
  }
  for (std::optional<DigestSink>* digest : {&work_->received_digest, &work_->decoded_digest}) {
    if (!*digest) continue;
    if (std::optional<Failure> failure = (*digest)->Check()) {
      if (result.truncated) failure->detail += " (the body was cut to body_policy.max_bytes)";
      co_return failure;
    }
  }
  if (!work_->json) co_return std::nullopt;
  if (std::optional<Failure> failure = work_->json->Check()) {
    if (result.truncated) failure->detail += " (it was cut to body_policy.max_bytes)";
    co_return failure;
  }
  result.truncated = result.truncated || work_->json->cut();
  bool delivered = co_await work_->json->Deliver(scope);
  if (!delivered) co_return stopped();
  co_return std::nullopt;
}

}  // namespace fetchd::server
