// gRPC (callback API) in front of one libcurl multi: curl_multi_socket_action on epoll in a thread
// of its own, easy handles and connections reused.
//   peer_libcurl [HOST:PORT]      PEER_CA=file trusts that CA for https origins
#include <curl/curl.h>
#include <grpcpp/grpcpp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "peer.grpc.pb.h"

namespace fetchpeer {
namespace {

// One exchange. Its methods are called on the engine's thread.
struct Transfer {
  const FetchRequest* req = nullptr;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  virtual ~Transfer() { curl_slist_free_all(headers); }
  virtual void OnHeader(const char* p, size_t n) = 0;
  virtual size_t OnData(const char* p, size_t n) = 0;         // may return CURL_WRITEFUNC_PAUSE
  virtual void OnTransferDone(CURLcode rc, long status) = 0;  // the engine is finished with `this`
};

// One thread, one multi handle.
class Engine {
 public:
  Engine() : epoll_(epoll_create1(0)), event_(eventfd(0, EFD_NONBLOCK)), multi_(curl_multi_init()) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = event_;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, event_, &e);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Engine::OnSocket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Engine::OnTimer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1024L);
    std::thread([this] { Run(); }).detach();
  }
  void Post(std::function<void()> f) {
    bool wake;
    {
      std::lock_guard g(mutex_);
      wake = inbox_.empty();
      inbox_.push_back(std::move(f));
    }
    if (wake) {
      uint64_t one = 1;
      (void)!write(event_, &one, 8);
    }
  }
  void Submit(std::vector<Transfer*> ts) {
    Post([this, ts = std::move(ts)] {
      for (auto* t : ts) Begin(t);
    });
  }

 private:
  static int OnSocket(CURL*, curl_socket_t s, int what, void* self, void* known) {
    auto* e = static_cast<Engine*>(self);
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(e->epoll_, EPOLL_CTL_DEL, s, nullptr);
      curl_multi_assign(e->multi_, s, nullptr);
      return 0;
    }
    epoll_event ev{};
    ev.events = (what & CURL_POLL_IN ? uint32_t(EPOLLIN) : 0u) | (what & CURL_POLL_OUT ? uint32_t(EPOLLOUT) : 0u);
    ev.data.fd = s;
    if (epoll_ctl(e->epoll_, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s, &ev) != 0)
      epoll_ctl(e->epoll_, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, s, &ev);
    curl_multi_assign(e->multi_, s, e);
    return 0;
  }
  static int OnTimer(CURLM*, long ms, void* self) {
    static_cast<Engine*>(self)->timer_ms_ = ms;
    return 0;
  }
  static size_t HeaderCallback(char* p, size_t s, size_t n, void* t) {
    static_cast<Transfer*>(t)->OnHeader(p, s * n);
    return s * n;
  }
  static size_t DataCallback(char* p, size_t s, size_t n, void* t) {
    return static_cast<Transfer*>(t)->OnData(p, s * n);
  }

  void Begin(Transfer* t) {
    CURL* h;
    if (free_.empty()) {
      h = curl_easy_init();
    } else {
      h = free_.back();
      free_.pop_back();
      curl_easy_reset(h);  // keeps live connections and caches
    }
    t->easy = h;
    const auto& r = *t->req;
    curl_easy_setopt(h, CURLOPT_URL, r.url().c_str());
    curl_easy_setopt(h, CURLOPT_PRIVATE, t);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, &Engine::HeaderCallback);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, &Engine::DataCallback);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 256 * 1024L);
    static const char* ca = getenv("PEER_CA");
    if (ca) curl_easy_setopt(h, CURLOPT_CAINFO, ca);
    if (!r.method().empty() && r.method() != "GET") {
      if (r.method() == "HEAD") curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
      curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, r.method().c_str());
    }
    if (!r.body().empty()) {
      curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(r.body().size()));
      curl_easy_setopt(h, CURLOPT_POSTFIELDS, r.body().data());
    }
    for (auto& x : r.headers()) t->headers = curl_slist_append(t->headers, (x.name() + ": " + x.value()).c_str());
    if (t->headers) curl_easy_setopt(h, CURLOPT_HTTPHEADER, t->headers);
    curl_multi_add_handle(multi_, h);
  }
  void Reap() {
    int left;
    while (CURLMsg* m = curl_multi_info_read(multi_, &left)) {
      if (m->msg != CURLMSG_DONE) continue;
      CURL* h = m->easy_handle;
      CURLcode rc = m->data.result;
      Transfer* t = nullptr;
      long status = 0;
      curl_easy_getinfo(h, CURLINFO_PRIVATE, &t);
      curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
      curl_multi_remove_handle(multi_, h);
      free_.push_back(h);
      t->OnTransferDone(rc, status);
    }
  }
  void Run() {
    epoll_event evs[256];
    int running;
    std::vector<std::function<void()>> work;
    for (;;) {
      int n = epoll_wait(epoll_, evs, 256, timer_ms_ < 0 ? -1 : int(timer_ms_));
      if (n == 0 || timer_ms_ == 0) {
        timer_ms_ = -1;
        curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
      }
      for (int i = 0; i < n; i++) {
        if (evs[i].data.fd == event_) {
          uint64_t v;
          (void)!read(event_, &v, 8);
          {
            std::lock_guard g(mutex_);
            work.swap(inbox_);
          }
          for (auto& f : work) f();
          work.clear();
          continue;
        }
        int mask = (evs[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) | (evs[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (evs[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(multi_, evs[i].data.fd, mask, &running);
      }
      Reap();
    }
  }
  int epoll_, event_;
  CURLM* multi_;
  long timer_ms_ = -1;
  std::vector<CURL*> free_;
  std::mutex mutex_;
  std::vector<std::function<void()>> inbox_;
};

// "Name: value\r\n" into a Header; a new status line (redirect, 100) starts afresh.
template <class Msg>
void TakeHeader(Msg* m, const char* p, size_t n) {
  if (n > 5 && memcmp(p, "HTTP/", 5) == 0) return m->clear_headers();
  auto* c = static_cast<const char*>(memchr(p, ':', n));
  if (!c) return;
  const char* end = p + n;
  while (end > c && (end[-1] == '\r' || end[-1] == '\n')) end--;
  const char* v = c + 1;
  while (v < end && *v == ' ') v++;
  auto* h = m->add_headers();
  h->set_name(p, c - p);
  h->set_value(v, end - v);
}

// Unary and batch.
struct Whole : Transfer {
  FetchResponse* out = nullptr;
  std::function<void()> done;
  void OnHeader(const char* p, size_t n) override { TakeHeader(out, p, n); }
  size_t OnData(const char* p, size_t n) override {
    out->mutable_body()->append(p, n);
    return n;
  }
  void OnTransferDone(CURLcode rc, long status) override {
    if (rc == CURLE_OK)
      out->set_status(status);
    else
      out->set_error(curl_easy_strerror(rc));
    done();
    delete this;
  }
};

// Streaming: curl is paused while more than kHigh bytes wait for the gRPC writer.
class StreamReactor : public grpc::ServerWriteReactor<Chunk>, public Transfer {
 public:
  StreamReactor(Engine& e, const FetchRequest* r) : engine_(e) {
    req = r;
    engine_.Submit({this});
  }
  // Engine thread.
  void OnHeader(const char* p, size_t n) override { TakeHeader(&head_, p, n); }
  size_t OnData(const char* p, size_t n) override {
    std::lock_guard g(mutex_);
    if (cancelled_) return 0;
    if (queued_ > kHigh) {
      paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    Push(p, n);
    return n;
  }
  void OnTransferDone(CURLcode rc, long) override {
    std::unique_lock g(mutex_);
    if (rc != CURLE_OK)
      status_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, curl_easy_strerror(rc));
    else if (!started_)
      Push("", 0);
    ended_ = true;
    MaybeFinish(g);
  }
  // gRPC threads.
  void OnWriteDone(bool ok) override {
    std::unique_lock g(mutex_);
    writing_ = false;
    queued_ -= queue_.front().data().size();
    queue_.pop_front();
    if (!ok) cancelled_ = true;
    if (cancelled_) queue_.clear(), queued_ = 0;
    if ((paused_ && queued_ < kLow) || (cancelled_ && !ended_)) {
      paused_ = false;
      engine_.Post([this] {
        {
          std::lock_guard g2(mutex_);
          if (ended_) return;
        }
        curl_easy_pause(easy, CURLPAUSE_CONT);
      });
    }
    Next();
    MaybeFinish(g);
  }
  void OnDone() override {
    engine_.Post([this] { delete this; });  // after any pending un-pause
  }

 private:
  static constexpr size_t kHigh = 2 << 20, kLow = 1 << 20;
  void Push(const char* p, size_t n) {
    auto& c = queue_.emplace_back();
    if (!started_) {
      long code = 0;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
      head_.set_status(code);
      c.Swap(&head_);
      started_ = true;
    }
    c.set_data(p, n);
    queued_ += n;
    Next();
  }
  void Next() {
    if (!writing_ && !queue_.empty()) {
      writing_ = true;
      StartWrite(&queue_.front());
    }
  }
  void MaybeFinish(std::unique_lock<std::mutex>& g) {
    if (ended_ && !writing_ && queue_.empty() && !finished_) {
      finished_ = true;
      g.unlock();
      Finish(status_);
    }
  }
  Engine& engine_;
  std::mutex mutex_;
  Chunk head_;
  std::deque<Chunk> queue_;
  size_t queued_ = 0;
  bool started_ = false, writing_ = false, paused_ = false, ended_ = false, cancelled_ = false, finished_ = false;
  grpc::Status status_;
};

class Service final : public Peer::CallbackService {
  grpc::ServerUnaryReactor* Fetch(grpc::CallbackServerContext* ctx, const FetchRequest* q, FetchResponse* r) override {
    auto* reactor = ctx->DefaultReactor();
    auto* t = new Whole;
    t->req = q;
    t->out = r;
    t->done = [reactor] { reactor->Finish(grpc::Status::OK); };
    engine_.Submit({t});
    return reactor;
  }
  grpc::ServerUnaryReactor* FetchBatch(grpc::CallbackServerContext* ctx, const BatchRequest* q,
                                       BatchResponse* r) override {
    auto* reactor = ctx->DefaultReactor();
    auto left = std::make_shared<std::atomic<int>>(q->requests_size());
    std::vector<Transfer*> ts;
    for (auto& x : q->requests()) {
      auto* t = new Whole;
      t->req = &x;
      t->out = r->add_responses();
      t->done = [left, reactor] {
        if (left->fetch_sub(1) == 1) reactor->Finish(grpc::Status::OK);
      };
      ts.push_back(t);
    }
    if (ts.empty())
      reactor->Finish(grpc::Status::OK);
    else
      engine_.Submit(std::move(ts));
    return reactor;
  }
  grpc::ServerWriteReactor<Chunk>* FetchStream(grpc::CallbackServerContext*, const FetchRequest* q) override {
    return new StreamReactor(engine_, q);
  }
  Engine engine_;
};

}  // namespace
}  // namespace fetchpeer

int main(int argc, char** argv) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  std::string at = argc > 1 ? argv[1] : "127.0.0.1:50051";
  fetchpeer::Service service;
  grpc::ServerBuilder b;
  b.AddListeningPort(at, grpc::InsecureServerCredentials());
  b.SetMaxReceiveMessageSize(-1);
  b.RegisterService(&service);
  auto server = b.BuildAndStart();
  if (!server) return 1;
  printf("listening on %s\n", at.c_str());
  fflush(stdout);
  server->Wait();
}
