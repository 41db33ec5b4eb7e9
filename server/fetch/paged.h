// FetchPaged: follows the pages of a list at the caller's pace.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fetch/fetcher.h"
#include "fetch/json_items.h"
#include "fetch/paged_messages.h"
#include "fetch/resume_token.h"
#include "net/task.h"
#include "policy/pagination.h"

namespace fetchd::server {

class PageCall;

// Takes the pages or items of a PagedFetch. All calls come on the home thread, and never from inside a call into the
// PagedFetch.
class PagedReceiver {
 public:
  virtual ~PagedReceiver() = default;
  // At most once for each PagedFetch::CallerReady, and once before the first.
  virtual void OnMessage(PagedMessage message) = 0;
  // Exactly once, last. Comes when the message before was taken (CallerReady), except after Cancel. No fetch runs any
  // more.
  virtual void OnEnd(PagedEnd end) = 0;
};

// One FetchPaged call. Requests a page only after the caller has taken the last message of the one before; holds one
// page at a time.
//
// Belongs to the home thread (engine thread 0), where it is made and all its methods are called. Owned by the RPC,
// which keeps it until OnEnd; made by std::make_shared.
class PagedFetch : public std::enable_shared_from_this<PagedFetch> {
 public:
  // `starter`, `tokens`, `clock` and `receiver` must outlive OnEnd. The URL of `spec` has passed
  // FetchStarter::CheckUrl.
  PagedFetch(PagedSpec spec, FetchStarter& starter, const ResumeTokens& tokens, const Clock& clock, Executor home,
             PagedReceiver& receiver);
  PagedFetch(const PagedFetch&) = delete;
  PagedFetch& operator=(const PagedFetch&) = delete;

  // Requests the first page. Once.
  void Start();
  // The caller has taken the previous message.
  void CallerReady();
  // Aborts the page in flight and ends with Reason::kCancelled. Idempotent; harmless after OnEnd.
  void Cancel();
  // Ends after the message in flight, with Reason::kDraining and a token; a page in flight is aborted. Idempotent.
  void Drain();

 private:
  friend class PageCall;
  // What is to be done when the caller is ready.
  enum class Step { kRequestPage, kAwaitPage, kSendPage, kSendItems, kFinishPage, kEnd, kEnded };

  // Posts Run, once.
  void Schedule();
  void Run();
  void RequestPage();
  void OnPage(std::shared_ptr<PageCall> call);
  void TakePage(PageCall& call);
  void SendPage();
  void SendItems();
  void FinishPage();
  // Ends with a failure of the page at at_; `token_state` is what the token continues from, if anything.
  void Fail(Failure failure, std::optional<PagingState> token_state);
  void SetEnd(PagedEnd::Reason reason, std::optional<PagingState> token_state);
  std::string Seal(const PagingState& state) const;
  bool watching() const { return pagination_.rules().WatchesForIdenticalPages(); }

  const PagedSpec spec_;
  const std::string request_hash_;
  FetchStarter& starter_;
  const ResumeTokens& tokens_;
  const Clock& clock_;
  Executor home_;
  PagedReceiver& receiver_;
  Pagination pagination_;

  Step step_ = Step::kRequestPage;
  bool scheduled_ = false;
  bool caller_ready_ = true;
  bool cancelled_ = false;
  bool draining_ = false;
  // The place of the page being requested or delivered.
  PagingState at_;
  std::shared_ptr<PageCall> call_;
  // The page being delivered.
  Url url_;
  std::optional<ResponseHead> head_;
  std::shared_ptr<std::string> body_;
  Headers trailers_;
  bool truncated_ = false;
  std::optional<WallTime> retry_at_;
  PageItems page_items_;
  // Items of the page to be sent before index `take_to_`.
  uint64_t take_to_ = 0;
  PageVerdict verdict_;
  PagedEnd end_;
};

}  // namespace fetchd::server
