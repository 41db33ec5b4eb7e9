// FetchPaged: follows the pages of a list at the caller's pace.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fetch/collecting_call.h"
#include "fetch/fetch_starter.h"
#include "fetch/json_items.h"
#include "fetch/paged_messages.h"
#include "fetch/resume_token.h"
#include "net/task.h"
#include "policy/pagination.h"

namespace fetchd::server {

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
  // What is to be done next.
  class PageCall;
  enum class Step {
    kRequestPage,  // the caller has everything before the page at at_
    kAwaitPage,    // call_ runs
    kTakePage,     // collected_ is there
    kDeliver,      // the page is good, and some of it is still to be sent
    kFinishPage,   // all of the page was sent
    kEnd,          // end_ is to be sent
    kEnded
  };

  // Posts Run: nothing happens inside the caller's calls.
  void Schedule();
  // Takes steps until one has to wait.
  void Run();
  void RequestPage();
  void TakePage();
  void DeliverPage();
  void DeliverItems();
  void FinishPage();
  void Send(PagedMessage message);
  // The place after the page being delivered, once all of it was sent.
  PagingState AfterPage() const;
  void EndWith(PagedEnd::Reason reason, const PagingState* resume_at = nullptr);
  // Like EndWith, for an end by a limit: the next call has as much again.
  void EndByLimit(PagedEnd::Reason reason, PagingState resume_at);
  // Ends with a failure; what was received of a page is in collected_, if anything.
  void Fail(Failure failure, const PagingState* resume_at);
  std::string Seal(const PagingState& state) const;

  const PagedSpec spec_;
  const std::string request_hash_;
  FetchStarter& starter_;
  const ResumeTokens& tokens_;
  const Clock& clock_;
  const Executor home_;
  PagedReceiver& receiver_;
  Pagination pagination_;

  Step step_ = Step::kRequestPage;
  bool scheduled_ = false;
  bool caller_ready_ = true;
  bool cancelled_ = false;
  bool draining_ = false;
  // The place in the list: of the page that is requested or delivered, and within it.
  PagingState at_;
  // Pages received, the one being delivered included.
  uint64_t pages_ = 0;
  std::shared_ptr<FetchCall> call_;
  // The page at at_.
  Url url_;
  Collected collected_;
  std::shared_ptr<const std::string> body_;
  PageItems page_items_;
  // Its items are sent up to this index, exclusive.
  uint64_t take_to_ = 0;
  PageVerdict verdict_;
  PagedEnd end_;
};

}  // namespace fetchd::server
