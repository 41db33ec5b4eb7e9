#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "fetchd/stream_range.h"
#include "fetchd/v1/fetch_service.pb.h"

namespace fetchd {

// How far a PagedRange has come.
struct PagedProgress {
  // Continues after the last message of which everything was taken. Empty: nothing to continue.
  std::string resume_token;
  // Values taken that lie after `resume_token`: a call that resumes gets them once more, first.
  uint64_t taken_since_token = 0;
  // Set once the list has ended.
  std::optional<v1::PagedEnd> end;
  // How the last page was fetched, and how many pages said so.
  v1::Trace trace;
  uint64_t traces = 0;
};

// The pages or items of a list: a StreamRange that also knows where it is.
//
// After the loop look at end_of_list(): a list that ends for a failed page ends the range too, with REASON_ERROR. If it
// is empty the RPC failed, and the range's last value said how. In both cases resume_token() goes into the
// `resume_token` of a new request that is otherwise the same.
template <typename T>
class PagedRange : public StreamRange<T> {
 public:
  PagedRange() = default;
  PagedRange(typename StreamRange<T>::Source source, std::shared_ptr<const PagedProgress> progress)
      : StreamRange<T>(std::move(source)), progress_(std::move(progress)) {}

  // See PagedProgress::resume_token. Good at any moment, also after an error.
  const std::string& resume_token() const { return progress_->resume_token; }
  // See PagedProgress::taken_since_token.
  uint64_t taken_since_token() const { return progress_->taken_since_token; }
  // Why the list ended; nullopt before that, and if the RPC failed.
  const std::optional<v1::PagedEnd>& end_of_list() const { return progress_->end; }
  // For a request with `explain`: how the page was fetched that the value taken last is from, or which failed; and how
  // many such traces have come, so that a new one can be told from the one before.
  const v1::Trace& trace() const { return progress_->trace; }
  uint64_t traces() const { return progress_->traces; }

 private:
  std::shared_ptr<const PagedProgress> progress_ = std::make_shared<PagedProgress>();
};

// Whole pages.
using PageRange = PagedRange<v1::Page>;
// Items, each the raw slice of the page's JSON, byte for byte.
using ItemRange = PagedRange<std::string>;

}  // namespace fetchd
