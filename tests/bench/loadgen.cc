// Closed-loop load on a server of fetchd.v1 or peers/peer.proto. Prints one line of JSON; exits with 1 if a reply was
// wrong.
//
// `concurrency` calls are kept in flight from one thread, requests serialised beforehand and sent as raw bytes, so that
// the client leaves the cores to the server. CPU is user and system time of --pid over exactly the measured interval; a
// fetch is one URL fetched, so a batch of 100 is 100 fetches. Streams are counted by bytes in the interval: slow ones
// need not end in it. `other_util` is the number of cores kept busy by anything but server, origin and this client,
// `steal_util` those taken by the host.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "bench/load_slot.h"
#include "bench/process_meter.h"
#include "bench/reply_check.h"
#include "bench/workload.h"

ABSL_FLAG(std::string, target, "127.0.0.1:50051", "gRPC address of the server");
ABSL_FLAG(std::string, api, "fetchd", "fetchd (fetchd.v1) or peer (peer.proto)");
ABSL_FLAG(std::string, rpc, "fetch", "fetch, batch, stream or paged");
ABSL_FLAG(std::string, url, "", "URL to fetch. {host} becomes one of --origins loopback addresses, {page} the page");
ABSL_FLAG(int, origins, 1, "addresses that {host} goes round");
ABSL_FLAG(int, pages, 1, "paged: pages from 1 to this one, linked by /next");
ABSL_FLAG(int, items_per_page, 100, "paged: length of /items");
ABSL_FLAG(size_t, body_bytes, 1024, "size of every good body");
ABSL_FLAG(bool, http2, false, "fetchd is asked to speak HTTP/2 to the origin");
ABSL_FLAG(int, batch, 100, "batch: items");
ABSL_FLAG(int, failing, 0, "batch: how many of the items go to --failing_url");
ABSL_FLAG(std::string, failing_url, "", "batch: a URL that refuses connections");
ABSL_FLAG(int, concurrency, 64, "calls in flight");
ABSL_FLAG(int, channels, 0, "gRPC connections; 0 takes 4, or fewer if concurrency is less");
ABSL_FLAG(double, seconds, 2, "measured time");
ABSL_FLAG(double, warmup, 0.5, "time before it");
ABSL_FLAG(double, ramp, 0, "the first calls are spread over this much of the warm-up, seconds");
ABSL_FLAG(long, calls, 0, "instead of a time: end after so many calls, all measured");
ABSL_FLAG(int, pid, 0, "process whose CPU time and memory are reported: the server");
ABSL_FLAG(std::vector<std::string>, origin_pids, {}, "processes that are not `other` load: the origins");
ABSL_FLAG(std::string, count_marker, "", "reports the number of calls whose reply has these bytes, as `marked`");

namespace fetchd::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }
Clock::duration Duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// 127.1.0.1 and on, all of which reach a listener on 0.0.0.0.
std::string LoopbackAddress(int index) {
  return absl::StrCat("127.", 1 + index / 62500, ".", index / 250 % 250, ".", 1 + index % 250);
}

// Empty, or why the flags do not make a workload.
std::string ReadWorkload(Workload* work) {
  const std::string api = absl::GetFlag(FLAGS_api), rpc = absl::GetFlag(FLAGS_rpc), url = absl::GetFlag(FLAGS_url);
  if (url.empty()) return "--url is needed";
  if (api != "fetchd" && api != "peer") return "--api is fetchd or peer";
  work->api = api == "peer" ? Api::kPeer : Api::kFetchd;
  if (rpc == "batch") {
    work->rpc = Rpc::kBatch;
    work->batch_items = absl::GetFlag(FLAGS_batch);
    work->failing_items = absl::GetFlag(FLAGS_failing);
    work->failing_url = absl::GetFlag(FLAGS_failing_url);
  } else if (rpc == "stream") {
    work->rpc = Rpc::kStream;
  } else if (rpc == "paged") {
    work->rpc = Rpc::kPaged;
    work->items_per_page = absl::GetFlag(FLAGS_items_per_page);
  } else if (rpc != "fetch") {
    return "--rpc is fetch, batch, stream or paged";
  }
  work->http2 = absl::GetFlag(FLAGS_http2);
  work->body_bytes = absl::GetFlag(FLAGS_body_bytes);
  if (absl::GetFlag(FLAGS_concurrency) < 1 || work->batch_items < 1) return "--concurrency and --batch begin at 1";
  for (int page = 1; page <= absl::GetFlag(FLAGS_pages); ++page) {
    for (int i = 0; i < absl::GetFlag(FLAGS_origins); ++i) {
      work->urls.push_back(absl::StrReplaceAll(url, {{"{host}", LoopbackAddress(i)}, {"{page}", absl::StrCat(page)}}));
    }
  }
  return {};
}

std::vector<int> OriginPids() {
  std::vector<int> pids;
  for (const std::string& text : absl::GetFlag(FLAGS_origin_pids)) {
    int pid = 0;
    if (absl::SimpleAtoi(text, &pid)) pids.push_back(pid);
  }
  return pids;
}

// Readings taken at the beginning and the end of the measured interval.
struct Reading {
  Clock::time_point now = Clock::now();
  double server = CpuSeconds(absl::GetFlag(FLAGS_pid));
  double origins = CpuSeconds(OriginPids());
  double client = CpuSeconds(getpid());
  MachineTime machine = ReadMachineTime();
};

double Percentile(const std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto index = static_cast<size_t>(share * static_cast<double>(sorted.size()));
  return sorted[std::min(index, sorted.size() - 1)];
}

void Report(const Workload& work, const Reading& begin, const Reading& end, Tally* tally) {
  const double wall = Seconds(end.now - begin.now);
  const double server = end.server - begin.server, origins = end.origins - begin.origins;
  const double client = end.client - begin.client;
  const double other = std::max(0.0, end.machine.busy - begin.machine.busy - server - origins - client);
  const double fetches = static_cast<double>(tally->calls) * work.FetchesPerCall();
  const double gigabytes = static_cast<double>(tally->bytes) / 1e9;
  const auto per_fetch = [&](double cpu) { return fetches > 0 ? cpu * 1e6 / fetches : 0; };
  for (char& c : tally->first_error) {
    if (c == '"' || c == '\\' || static_cast<unsigned char>(c) < ' ') c = '\'';
  }
  std::vector<float>& latencies = tally->latencies_us;
  std::sort(latencies.begin(), latencies.end());
  absl::PrintF(
      "{\"concurrency\":%d,\"seconds\":%.3f,\"calls\":%d,\"errors\":%d,\"fetches\":%.0f,\"fetches_per_s\":%.1f,"
      "\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"gb_per_s\":%.4f,\"cpu_us_per_fetch\":%.3f,"
      "\"cpu_s_per_gb\":%.4f,\"cpu_util\":%.3f,\"client_us_per_fetch\":%.2f,\"origin_us_per_fetch\":%.2f,"
      "\"rss_peak_mib\":%.1f,\"other_util\":%.3f,\"steal_util\":%.3f,\"marked\":%d,\"first_error\":\"%s\"}\n",
      absl::GetFlag(FLAGS_concurrency), wall, tally->calls, tally->errors, fetches, fetches / wall,
      Percentile(latencies, .5), Percentile(latencies, .99), Percentile(latencies, .999), gigabytes / wall,
      per_fetch(server), gigabytes > 0 ? server / gigabytes : 0, server / wall, per_fetch(client), per_fetch(origins),
      PeakRssMib(absl::GetFlag(FLAGS_pid)), other / wall, (end.machine.steal - begin.machine.steal) / wall,
      ReplyCheck::marked_calls(), tally->first_error);
  std::fflush(stdout);
}

class Load {
 public:
  explicit Load(const Workload& work) : work_(work), method_(work.Method()), requests_(work.SerializedRequests()) {}

  // Empty, or why there is no connection.
  std::string Connect() {
    const int concurrency = absl::GetFlag(FLAGS_concurrency);
    const int channels = absl::GetFlag(FLAGS_channels) > 0 ? absl::GetFlag(FLAGS_channels) : std::min(4, concurrency);
    const std::string target = absl::GetFlag(FLAGS_target);
    for (int i = 0; i < channels; ++i) {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
      arguments.SetMaxReceiveMessageSize(-1);
      auto channel = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
      if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
        return absl::StrCat("no connection to ", target);
      }
      stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
    }
    const SlotContext context{&work_, &method_, &requests_, &queue_, &tally_};
    for (int i = 0; i < concurrency; ++i) {
      const auto slot = static_cast<size_t>(i);
      slots_.push_back(
          MakeLoadSlot(context, stubs_[slot % stubs_.size()].get(), slot, static_cast<size_t>(concurrency)));
    }
    return {};
  }

  // False if a reply was wrong.
  bool Run() {
    const long calls = absl::GetFlag(FLAGS_calls);
    tally_.calls_left = calls > 0 ? calls : -1;  // -1: no end.
    tally_.latencies_us.reserve(1'000'000);
    if (calls > 0) {
      tally_.measuring = true;
      const Reading begin;
      StartAll();
      while (tally_.active > 0) PollUntil(Clock::now() + std::chrono::seconds(1));
      Report(work_, begin, Reading(), &tally_);
    } else {
      const auto measure_at = Clock::now() + Duration(absl::GetFlag(FLAGS_warmup));
      StartAll();
      PollUntil(measure_at);
      ReplyCheck::ForgetMarkedCalls();
      tally_.measuring = true;
      const Reading begin;
      PollUntil(begin.now + Duration(absl::GetFlag(FLAGS_seconds)));
      const Reading end;
      tally_.measuring = false;
      Report(work_, begin, end, &tally_);
    }
    return tally_.first_error.empty() && tally_.errors == 0;
  }

 private:
  void StartAll() {
    const auto begin = Clock::now();
    const double gap = absl::GetFlag(FLAGS_ramp) / static_cast<double>(slots_.size());
    for (size_t i = 0; i < slots_.size(); ++i) {
      if (gap > 0) PollUntil(begin + Duration(gap * static_cast<double>(i)));
      slots_[i]->Start();
    }
  }
  // Handles events until then, and at least one of those that are there. Ends early if no call is left.
  void PollUntil(Clock::time_point end) {
    const auto deadline = std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::system_clock::duration>(end - Clock::now());
    for (;;) {
      void* tag = nullptr;
      bool ok = false;
      if (queue_.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return;
      static_cast<LoadSlot*>(tag)->OnEvent(ok);
      if (Clock::now() >= end || (tally_.active == 0 && tally_.calls_left == 0)) return;
    }
  }

  const Workload& work_;
  const std::string method_;
  const std::vector<grpc::ByteBuffer> requests_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  std::vector<std::unique_ptr<LoadSlot>> slots_;
  Tally tally_;
};

int Main() {
  Workload work;
  if (std::string why = ReadWorkload(&work); !why.empty()) {
    absl::FPrintF(stderr, "loadgen: %s\n", why);
    return 2;
  }
  ReplyCheck::CountMarker(absl::GetFlag(FLAGS_count_marker));
  Load load(work);
  if (std::string why = load.Connect(); !why.empty()) {
    absl::FPrintF(stderr, "loadgen: %s\n", why);
    return 2;
  }
  const bool good = load.Run();
  _exit(good ? 0 : 1);  // Calls in flight end with the process.
}

}  // namespace
}  // namespace fetchd::bench

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage("Closed-loop load on a server of fetchd.v1 or peer.proto; prints one line of JSON.");
  absl::ParseCommandLine(argc, argv);
  return fetchd::bench::Main();
}
