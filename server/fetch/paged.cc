#include "fetch/paged.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/redirect.h"

namespace fetchd::server {
namespace {

constexpr size_t kMaxMessageItems = 1000;
constexpr size_t kMaxMessageBytes = 1 << 20;

// A hash that every replica computes alike.
uint64_t HashBody(std::string_view body) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest;
  SHA256(reinterpret_cast<const unsigned char*>(body.data()), body.size(), digest.data());
  uint64_t hash = 0;
  for (size_t i = 0; i < sizeof(hash); ++i) hash = hash << 8 | digest[i];
  return hash;
}

bool IsTransientStatus(int status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

}  // namespace

PagedFetch::PagedFetch(PagedSpec spec, FetchStarter& starter, const ResumeTokens& tokens, const Clock& clock,
                       Executor home, PagedReceiver& receiver)
    : spec_(std::move(spec)),
      request_hash_(PagedRequestHash(spec_)),
      starter_(starter),
      tokens_(tokens),
      clock_(clock),
      home_(home),
      receiver_(receiver),
      pagination_(spec_.rules, spec_.request.url),
      at_(spec_.resume ? *spec_.resume : InitialPagingState(spec_.rules)),
      pages_(at_.pages + (at_.skip > 0 || at_.delivered ? 1 : 0)) {}

void PagedFetch::Start() { Schedule(); }

void PagedFetch::CallerReady() {
  caller_ready_ = true;
  Schedule();
}

void PagedFetch::Cancel() {
  if (cancelled_ || step_ == Step::kEnded) return;
  cancelled_ = true;
  if (call_) starter_.Cancel(call_);
  Schedule();
}

void PagedFetch::Drain() {
  if (draining_ || step_ == Step::kEnded) return;
  draining_ = true;
  if (call_) starter_.Cancel(call_);
  Schedule();
}

void PagedFetch::Schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  asio::post(home_, [self = shared_from_this()] { self->Run(); });
}

void PagedFetch::Run() {
  scheduled_ = false;
  while (true) {
    // A page in flight is waited for even then: nothing of the call runs on after its end.
    if (cancelled_ && step_ != Step::kAwaitPage && step_ != Step::kEnded) {
      EndWith(PagedEnd::Reason::kCancelled);
      caller_ready_ = true;
    }
    switch (step_) {
      case Step::kTakePage:
        TakePage();
        break;
      case Step::kFinishPage:
        FinishPage();
        break;
      case Step::kRequestPage:
        if (!caller_ready_) return;
        RequestPage();
        break;
      case Step::kDeliver:
        if (!caller_ready_) return;
        spec_.unit == PagedUnit::kPage ? DeliverPage() : DeliverItems();
        break;
      case Step::kEnd:
        if (!caller_ready_) return;
        step_ = Step::kEnded;
        receiver_.OnEnd(std::move(end_));
        return;
      case Step::kAwaitPage:
      case Step::kEnded:
        return;
    }
  }
}

class PagedFetch::PageCall final : public CollectingCall {
 public:
  PageCall(Executor home, std::shared_ptr<PagedFetch> paged) : CollectingCall(home), paged_(std::move(paged)) {}

 private:
  void OnCollected(Collected& collected) override {
    const auto paged = std::move(paged_);
    paged->call_ = nullptr;
    paged->collected_ = std::move(collected);
    paged->step_ = Step::kTakePage;
    paged->Schedule();
  }

  std::shared_ptr<PagedFetch> paged_;
};

void PagedFetch::RequestPage() {
  if (pagination_.ItemsExhausted(at_)) return EndByLimit(PagedEnd::Reason::kMaxItems, at_);
  if (at_.done) return EndWith(PagedEnd::Reason::kLastPage);
  if (pagination_.PagesExhausted(at_)) return EndByLimit(PagedEnd::Reason::kMaxPages, at_);
  if (draining_) return EndWith(PagedEnd::Reason::kDraining, &at_);

  collected_ = {};
  absl::StatusOr<Url> url = pagination_.PageUrl(at_);
  if (!url.ok()) {
    url_ = spec_.request.url;
    return Fail({FailureCode::kRequestInvalid, Phase::kPaginate, Processed::kNo, std::string(url.status().message())},
                &at_);
  }
  url_ = *std::move(url);
  const absl::Status allowed = starter_.CheckUrl(url_);
  if (!allowed.ok()) {
    return Fail({FailureCode::kDestinationIpProhibited, Phase::kPolicy, Processed::kNo, std::string(allowed.message())},
                &at_);
  }

  auto call = std::make_shared<PageCall>(home_, shared_from_this());
  call->rpc = "FetchPaged";
  call->spec = spec_.request;
  call->spec.url = url_;
  if (url_.origin() != spec_.request.url.origin()) starter_.ChooseRoute(call->spec);
  call->spec.id = absl::StrCat(spec_.request.id, ".", at_.pages + 1);
  call->spec.deadline = std::min(After(clock_.Now(), spec_.request.timeouts.total), spec_.deadline);
  if (!pagination_.MaySendSecrets(url_)) {
    Headers kept;
    for (HeaderView field : spec_.request.headers) {
      if (!field.sensitive) kept.Add(field.name, field.value);
    }
    call->spec.headers = std::move(kept);
  }
  step_ = Step::kAwaitPage;
  call_ = call;
  // It may be done before this returns.
  starter_.Start(std::move(call));
}

void PagedFetch::TakePage() {
  const Outcome& outcome = collected_.outcome;
  if (draining_) return EndWith(PagedEnd::Reason::kDraining, &at_);
  if (outcome.failure) {
    // Not cancelled by us: fetchd is shutting down.
    if (outcome.failure->code == FailureCode::kCancelled) return EndWith(PagedEnd::Reason::kDraining, &at_);
    return Fail(*outcome.failure, &at_);
  }
  auto refuse = [&](FailureCode code, std::string detail) {
    Fail({code, Phase::kPaginate, Processed::kYes, std::move(detail)}, &at_);
  };
  const uint64_t number = at_.pages + 1;
  if (!collected_.head) return refuse(FailureCode::kInternal, "a page without a head");
  const int status = collected_.head->status;
  if (status < 200 || status > 299) {
    return refuse(FailureCode::kPageStatus, absl::StrCat("page ", number, " answered with status ", status));
  }

  const std::optional<std::string_view> pointer = spec_.rules.ValuePointer();
  page_items_ = {};
  if (spec_.items || pointer) {
    absl::StatusOr<PageItems> items = ParsePage(collected_.body, spec_.items, pointer);
    if (!items.ok()) {
      return refuse(FailureCode::kPageInvalid,
                    absl::StrCat("page ", number, ": ", items.status().message(),
                                 outcome.truncated ? " (its body was cut to body_policy.max_bytes)" : ""));
    }
    page_items_ = *std::move(items);
  }
  const uint64_t count = page_items_.items.size();
  PageFacts facts{
      .url = url_,
      .arrived_at = collected_.head->redirects ? &collected_.head->redirects->redirects.back().url : nullptr,
      .headers = collected_.head->headers,
      .value = std::move(page_items_.value),
      .items = spec_.items ? std::make_optional(count) : std::nullopt,
      .body_hash = std::nullopt};
  if (spec_.rules.WatchesForIdenticalPages()) facts.body_hash = HashBody(collected_.body);
  verdict_ = pagination_.Decide(at_, facts);
  if (verdict_.next == PageVerdict::Next::kRefused) return Fail(verdict_.failure, &at_);

  pages_ = number;
  step_ = Step::kDeliver;
  if (at_.delivered) step_ = Step::kFinishPage;
  if (spec_.unit == PagedUnit::kPage) return;
  // A page that has shrunk since the token was made has nothing left.
  at_.skip = std::min(at_.skip, count);
  take_to_ = at_.skip + std::min(count - at_.skip, pagination_.ItemsAllowed(at_));
  if (at_.skip == take_to_) step_ = Step::kFinishPage;
  body_ = std::make_shared<const std::string>(std::move(collected_.body));
}

void PagedFetch::DeliverPage() {
  PagedPage page;
  page.item_count = page_items_.items.size();
  page.number = pages_;
  page.head = *std::move(collected_.head);
  page.body = std::move(collected_.body);
  page.truncated = collected_.outcome.truncated;
  page.trailers = std::move(collected_.outcome.trailers);
  at_.items += page.item_count;
  at_.delivered = true;
  step_ = Step::kFinishPage;
  Send({.content = std::move(page), .resume_token = Seal(AfterPage()), .trace = nullptr});
}

void PagedFetch::DeliverItems() {
  if (draining_) return EndWith(PagedEnd::Reason::kDraining, &at_);
  PagedItems message;
  message.body = body_;
  message.page = pages_;
  size_t bytes = 0;
  while (at_.skip < take_to_ && message.items.size() < kMaxMessageItems) {
    const JsonSlice& item = page_items_.items[at_.skip];
    if (!message.items.empty() && bytes + item.size > kMaxMessageBytes) break;
    bytes += item.size;
    message.items.push_back(item.In(*body_));
    ++at_.skip;
  }
  at_.items += message.items.size();
  if (at_.skip == take_to_) step_ = Step::kFinishPage;
  Send({.content = std::move(message), .resume_token = Seal(AfterPage()), .trace = nullptr});
}

PagingState PagedFetch::AfterPage() const {
  if (!at_.delivered && spec_.unit == PagedUnit::kItem && at_.skip < page_items_.items.size()) return at_;
  PagingState after = verdict_.next == PageVerdict::Next::kFailed ? at_ : verdict_.after;
  after.items = at_.items;
  if (verdict_.next == PageVerdict::Next::kFailed) {
    // Read again, this page may lead elsewhere.
    after.skip = 0;
    after.delivered = true;
  }
  return after;
}

void PagedFetch::FinishPage() {
  PagingState after = AfterPage();
  body_ = nullptr;
  page_items_ = {};
  if (pagination_.ItemsExhausted(after)) return EndByLimit(PagedEnd::Reason::kMaxItems, std::move(after));
  if (verdict_.next == PageVerdict::Next::kFailed) {
    // The head and body of the page before are no part of the failure.
    collected_ = {};
    // A list that loops has no page to continue with.
    const bool loop = verdict_.failure.code == FailureCode::kPaginationLoop;
    Fail(verdict_.failure, loop ? nullptr : &after);
    if (!verdict_.url.empty()) end_.error->url = verdict_.url;
    return;
  }
  at_ = std::move(after);
  step_ = Step::kRequestPage;
}

void PagedFetch::Send(PagedMessage message) {
  caller_ready_ = false;
  message.trace = std::move(collected_.outcome.trace);
  receiver_.OnMessage(std::move(message));
}

void PagedFetch::EndByLimit(PagedEnd::Reason reason, PagingState resume_at) {
  if (resume_at.done) return EndWith(reason);
  resume_at.pages_base = resume_at.pages;
  resume_at.items_base = resume_at.items;
  EndWith(reason, &resume_at);
}

void PagedFetch::EndWith(PagedEnd::Reason reason, const PagingState* resume_at) {
  end_ = {};
  end_.reason = reason;
  end_.pages = pages_;
  end_.items = resume_at != nullptr ? resume_at->items : at_.items;
  if (resume_at != nullptr) end_.resume_token = Seal(*resume_at);
  end_.trace = std::move(collected_.outcome.trace);
  body_ = nullptr;
  page_items_ = {};
  step_ = Step::kEnd;
}

void PagedFetch::Fail(Failure failure, const PagingState* resume_at) {
  PagedError error;
  error.retryable = IsTransient(failure.code);
  if (failure.code == FailureCode::kPageStatus) error.retryable = IsTransientStatus(collected_.head->status);
  error.failure = std::move(failure);
  error.url = url_.Redacted();
  error.head = std::move(collected_.head);
  error.body = std::move(collected_.body);
  error.truncated = collected_.outcome.truncated;
  error.trailers = std::move(collected_.outcome.trailers);
  error.retry_at = collected_.outcome.retry_at;
  error.redirects = std::move(collected_.outcome.redirects);
  EndWith(PagedEnd::Reason::kError, resume_at);
  end_.error = std::move(error);
}

std::string PagedFetch::Seal(const PagingState& state) const {
  return tokens_.Seal(state, spec_.request.caller, request_hash_, clock_.WallNow());
}

}  // namespace fetchd::server
