// A list, its origin and its caller, without any network.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fetch/paged.h"
#include "support/fake_clock.h"

namespace fetchd::server {

// What the fake origin answers.
struct Answer {
  int status = 200;
  std::string body = {};
  std::string link = {};
  std::optional<Failure> failure = {};
  bool truncated = false;
};

// Answers each page by a function; one fetch at a time, from the loop's queue.
class FakeStarter final : public FetchStarter {
 public:
  FakeStarter(asio::io_context& loop, std::function<Answer(const FetchSpec&)> origin)
      : loop_(loop), origin_(std::move(origin)) {}

  absl::Status CheckUrl(const Url& url) const override {
    if (url.host() == "10.0.0.1") return absl::PermissionDeniedError("10.0.0.1 is a private address");
    return absl::OkStatus();
  }
  void Start(std::shared_ptr<FetchCall> call) override {
    EXPECT_TRUE(CheckUrl(call->spec.url).ok());
    EXPECT_EQ(running_, nullptr) << "two pages at once";
    requests.push_back(call->spec);
    running_ = call;
    asio::post(loop_, [this, call] {
      if (running_ == call && !hold) Finish(origin_(call->spec));
    });
  }
  void Cancel(const std::shared_ptr<FetchCall>& call) override {
    asio::post(loop_, [this, call] {
      if (running_ != call) return;
      Outcome outcome;
      outcome.failure = Failure{FailureCode::kCancelled, Phase::kWait, Processed::kMaybe, "cancelled"};
      std::exchange(running_, nullptr)->OnDone(std::move(outcome));
    });
  }
  bool running() const { return running_ != nullptr; }

  std::vector<FetchSpec> requests;
  // Requests stay unanswered.
  bool hold = false;

 private:
  void Finish(Answer answer) {
    const std::shared_ptr<FetchCall> call = std::exchange(running_, nullptr);
    call->OnStart(loop_.get_executor());
    Outcome outcome;
    outcome.failure = answer.failure;
    outcome.truncated = answer.truncated;
    if (!answer.failure || !answer.body.empty()) {
      ResponseHead head;
      head.status = answer.status;
      if (!answer.link.empty()) head.headers.Add("link", answer.link);
      call->OnHead(std::move(head));
      std::string_view rest = answer.body;
      while (!rest.empty()) {
        std::span<char> room = call->Prepare(rest.size());
        std::copy_n(rest.begin(), room.size(), room.begin());
        call->Commit(room.size());
        rest.remove_prefix(room.size());
      }
    }
    call->OnDone(std::move(outcome));
  }

  asio::io_context& loop_;
  std::function<Answer(const FetchSpec&)> origin_;
  std::shared_ptr<FetchCall> running_;
};

// What arrived at the caller.
struct Received {
  // Items of ITEM messages.
  std::vector<std::string> items;
  std::vector<PagedPage> pages;
  // After each message: its token, and how many items and pages were there.
  struct Mark {
    std::string token;
    size_t items;
    size_t pages;
  };
  std::vector<Mark> marks;
  std::optional<PagedEnd> end;
};

// One caller of one list. `patient` callers take each message at once.
class Caller final : public PagedReceiver {
 public:
  Caller(asio::io_context& loop, FakeStarter& starter, const ResumeTokens& tokens, const Clock& clock, PagedSpec spec,
         bool patient = true)
      : patient_(patient),
        fetch(std::make_shared<PagedFetch>(std::move(spec), starter, tokens, clock, loop.get_executor(), *this)) {
    fetch->Start();
  }

  void OnMessage(PagedMessage message) override {
    EXPECT_FALSE(got.end);
    EXPECT_TRUE(allowed_) << "a message before the one before was taken";
    allowed_ = false;
    if (auto* page = std::get_if<PagedPage>(&message.content)) {
      got.pages.push_back(std::move(*page));
    } else {
      auto& items = std::get<PagedItems>(message.content);
      EXPECT_FALSE(items.items.empty());
      EXPECT_LE(items.items.size(), 1000u);
      for (std::string_view item : items.items) got.items.emplace_back(item);
    }
    got.marks.push_back({message.resume_token, got.items.size(), got.pages.size()});
    if (patient_) Ready();
  }
  void OnEnd(PagedEnd end) override {
    EXPECT_FALSE(got.end);
    got.end = std::move(end);
  }
  void Ready() {
    allowed_ = true;
    fetch->CallerReady();
  }

 private:
  const bool patient_;
  bool allowed_ = true;

 public:
  Received got;
  std::shared_ptr<PagedFetch> fetch;
};

class Paged : public ::testing::Test {
 protected:
  // A list of `total` items, `size` for each page, as {"items":[...],"next":"/list?page=2"}.
  static Answer List(const FetchSpec& spec, int total, int size) {
    const std::string url = spec.url.text();
    const size_t at = url.find("page=");
    const int page = at == std::string::npos ? 1 : std::stoi(url.substr(at + 5));
    std::string body = "{\"items\": [";
    const int first = (page - 1) * size, last = std::min(total, page * size);
    for (int i = first; i < last; ++i) absl::StrAppend(&body, i > first ? ", " : "", "{\"id\":", i, "}");
    body += "]";
    Answer answer;
    if (last < total) {
      const std::string next = absl::StrCat("/list?page=", page + 1);
      absl::StrAppend(&body, ",\"next\":\"", next, "\"");
      answer.link = absl::StrCat("<", next, ">; rel=next");
    }
    answer.body = body + "}";
    return answer;
  }
  static std::vector<std::string> Ids(int from, int to) {
    std::vector<std::string> ids;
    for (int i = from; i < to; ++i) ids.push_back(absl::StrCat("{\"id\":", i, "}"));
    return ids;
  }
  static PagedSpec Spec(PagedUnit unit, PagingStrategy strategy = NextUrlPaging{"/next"}) {
    PagedSpec spec;
    spec.request.id = "f1";
    spec.request.caller = "me";
    spec.request.url = Url::Parse("https://a.test/list").value();
    spec.rules.strategy = std::move(strategy);
    spec.items = "/items";
    spec.unit = unit;
    return spec;
  }
  // Runs a list to its end.
  Received Run(PagedSpec spec, std::function<Answer(const FetchSpec&)> origin) {
    asio::io_context loop;
    FakeStarter starter(loop, std::move(origin));
    Caller caller(loop, starter, tokens_, clock_, std::move(spec));
    loop.run();
    EXPECT_TRUE(caller.got.end);
    EXPECT_FALSE(starter.running());
    EXPECT_EQ(caller.fetch.use_count(), 1);
    requests_ = starter.requests;
    return std::move(caller.got);
  }
  Received Run(PagedSpec spec, int total, int size) {
    return Run(std::move(spec), [=](const FetchSpec& s) { return List(s, total, size); });
  }
  PagingState Open(const PagedSpec& spec, const std::string& token) const {
    absl::StatusOr<PagingState> state = tokens_.Open(token, "me", PagedRequestHash(spec), clock_.WallNow());
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : PagingState{};
  }
  PagedSpec Resumed(PagedSpec spec, const std::string& token) const {
    spec.resume = Open(spec, token);
    return spec;
  }

  FakeClock clock_;
  ResumeTokens tokens_{{.key = std::string(32, 'k')}};
  std::vector<FetchSpec> requests_;
};

}  // namespace fetchd::server
