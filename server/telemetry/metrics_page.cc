#include "telemetry/metrics_page.h"

#include <array>
#include <limits>
#include <utility>

#include "prometheus/text_serializer.h"

namespace fetchd::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;
using Threads = std::vector<const ThreadMetrics*>;

// Builds the families one after the other.
class Page {
 public:
  explicit Page(const Threads& threads) : threads_(threads) {}

  void Family(std::string name, std::string help, MetricType type) {
    families_.push_back({.name = std::move(name), .help = std::move(help), .type = type, .metric = {}});
  }
  void Value(double value, Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    metric.gauge.value = value;
    families_.back().metric.push_back(std::move(metric));
  }
  void Counter(std::string name, std::string help, double value) {
    Family(std::move(name), std::move(help), MetricType::Counter);
    Value(value);
  }
  void Gauge(std::string name, std::string help, double value) {
    Family(std::move(name), std::move(help), MetricType::Gauge);
    Value(value);
  }
  // Over all threads. `read` takes a ThreadMetrics and gives a number.
  template <typename Read>
  double Sum(Read read) const {
    int64_t sum = 0;
    for (const ThreadMetrics* thread : threads_) sum += read(*thread).value();
    return static_cast<double>(sum);
  }
  template <typename Read>
  void Histogram(Read read, Labels labels = {}) {
    constexpr size_t kBuckets = DurationHistogram::kBounds.size() + 1;
    ClientMetric metric;
    metric.label = std::move(labels);
    uint64_t cumulative = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      for (const ThreadMetrics* thread : threads_) cumulative += static_cast<uint64_t>(read(*thread).bucket(i));
      const double bound = i + 1 < kBuckets ? DurationHistogram::kBounds[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({.cumulative_count = cumulative, .upper_bound = bound});
    }
    metric.histogram.sample_count = cumulative;
    for (const ThreadMetrics* thread : threads_) metric.histogram.sample_sum += read(*thread).sum_seconds();
    families_.back().metric.push_back(std::move(metric));
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  const Threads& threads_;
  std::vector<MetricFamily> families_;
};

void AddOutcomes(Page& page) {
  // Index 1, the status class 1xx, never is an outcome.
  static constexpr std::pair<size_t, const char*> kClasses[] = {
      {0, "failure"}, {2, "2xx"}, {3, "3xx"}, {4, "4xx"}, {5, "5xx"}};
  page.Family("fetchd_fetches_total", "Fetches that ended, by status class of the response, or failure.",
              MetricType::Counter);
  for (const auto& [i, name] : kClasses) {
    page.Value(page.Sum([i = i](const ThreadMetrics& t) -> const Cell& { return t.fetches[i]; }), {{"outcome", name}});
  }
  page.Family("fetchd_attempts_total", "Attempts that ended, by status class of the response, or failure.",
              MetricType::Counter);
  for (const auto& [i, name] : kClasses) {
    page.Value(page.Sum([i = i](const ThreadMetrics& t) -> const Cell& { return t.attempts[i]; }), {{"outcome", name}});
  }
  page.Family("fetchd_fetch_failures_total", "Fetches that ended without a complete response, by code and phase.",
              MetricType::Counter);
  for (size_t code = 0; code < std::tuple_size_v<decltype(ThreadMetrics::failures)>; ++code) {
    for (size_t phase = 0; phase <= static_cast<size_t>(kLastPhase); ++phase) {
      const double count = page.Sum([=](const ThreadMetrics& t) -> const Cell& { return t.failures[code][phase]; });
      if (count == 0) continue;  // some 300 pairs, of which most can never happen
      page.Value(count, {{"code", std::string(ToString(static_cast<FailureCode>(code)))},
                         {"phase", std::string(ToString(static_cast<Phase>(phase)))}});
    }
  }
}

void AddDurations(Page& page) {
  page.Family("fetchd_fetch_duration_seconds", "Fetches from start to end, with all attempts and waits.",
              MetricType::Histogram);
  page.Histogram([](const ThreadMetrics& t) -> const DurationHistogram& { return t.fetch_duration; });
  static constexpr const char* kPhases[] = {"queue", "dns", "connect", "proxy", "tls", "send", "wait", "receive"};
  page.Family("fetchd_phase_duration_seconds", "Phases of attempts; a phase that an attempt skips does not count.",
              MetricType::Histogram);
  for (size_t i = 0; i < std::size(kPhases); ++i) {
    page.Histogram([i](const ThreadMetrics& t) -> const DurationHistogram& { return t.phases[i]; },
                   {{"phase", kPhases[i]}});
  }
}

void AddCounters(Page& page) {
  struct Row {
    Cell ThreadMetrics::*cell;
    const char* name;
    const char* help;
  };
  static constexpr Row kRows[] = {
      {&ThreadMetrics::connections_opened, "fetchd_connections_opened_total", "Connections to origins opened."},
      {&ThreadMetrics::connections_reused, "fetchd_connections_reused_total",
       "Attempts that took a connection from the pool."},
      {&ThreadMetrics::tls_handshakes, "fetchd_tls_handshakes_total", "TLS handshakes with origins completed."},
      {&ThreadMetrics::tls_resumed, "fetchd_tls_resumed_total", "TLS handshakes that resumed a session."},
      {&ThreadMetrics::dns_queries, "fetchd_dns_queries_total", "Name resolutions that asked a server."},
      {&ThreadMetrics::dns_cache_hits, "fetchd_dns_cache_hits_total", "Name resolutions answered by the cache."},
      {&ThreadMetrics::breakers_opened, "fetchd_breakers_opened_total", "Circuit breakers of origins that opened."},
      {&ThreadMetrics::holds_learnt, "fetchd_holds_learnt_total",
       "Responses that asked us to leave their origin alone for a while (Retry-After, RateLimit)."},
      {&ThreadMetrics::outliers_ejected, "fetchd_outliers_ejected_total",
       "Addresses left out for a while, as they did much worse than their origin's others."},
      {&ThreadMetrics::hedges, "fetchd_hedges_total", "Second attempts sent beside a slow one."},
      {&ThreadMetrics::hedges_won, "fetchd_hedges_won_total", "Second attempts that were answered first."},
      {&ThreadMetrics::resumes, "fetchd_resumes_total", "Times the rest of a response that broke off was asked for."},
      {&ThreadMetrics::resumed, "fetchd_resumed_total", "Times that rest came."},
      {&ThreadMetrics::request_bytes, "fetchd_request_body_bytes_total", "Body bytes sent to origins."},
      {&ThreadMetrics::response_bytes, "fetchd_response_body_bytes_total", "Body bytes received from origins."},
  };
  for (const Row& row : kRows) {
    page.Counter(row.name, row.help, page.Sum([&](const ThreadMetrics& t) -> const Cell& { return t.*row.cell; }));
  }
}

void AddGauges(Page& page) {
  const auto sum = [&](Cell ThreadMetrics::*cell) {
    return page.Sum([cell](const ThreadMetrics& t) -> const Cell& { return t.*cell; });
  };
  page.Gauge("fetchd_fetches_in_flight", "Fetches in progress.", sum(&ThreadMetrics::fetches_in_flight));
  page.Family("fetchd_connections", "Open connections to origins.", MetricType::Gauge);
  page.Value(sum(&ThreadMetrics::connections_active), {{"state", "active"}});
  page.Value(sum(&ThreadMetrics::connections_idle), {{"state", "idle"}});
  page.Gauge("fetchd_queue_waiting", "Attempts that wait at the limits of their origin or for a connection.",
             sum(&ThreadMetrics::queue_waiting));
  page.Gauge("fetchd_origins", "Origins with state in memory.", sum(&ThreadMetrics::origins));
  page.Gauge("fetchd_leases", "Connections lent to an exchange.", sum(&ThreadMetrics::leases));
  page.Gauge("fetchd_buffered_bytes", "Bytes of the blocks that hold bodies on the way to callers of FetchStream.",
             page.Sum([](const ThreadMetrics& t) -> const SharedCell& { return t.buffered_bytes; }));
}

void AddProcess(Page& page, const MetricsSnapshot& s) {
  page.Family("fetchd_build_info", "Always 1; the labels say which build this is.", MetricType::Gauge);
  page.Value(1, {{"version", std::string(Version())}, {"compiler", "g++ " __VERSION__}});
  page.Gauge("fetchd_ready", "1 if /readyz says ready, 0 while starting or draining.", s.ready ? 1 : 0);
  page.Gauge("fetchd_engine_threads", "Engine threads.", static_cast<double>(s.threads.size()));
  page.Gauge("fetchd_uptime_seconds", "Time since the start.", ToSeconds(s.now - s.started_at));
  page.Counter("fetchd_access_log_dropped_lines_total", "Access log lines dropped because the output is too slow.",
               static_cast<double>(s.access_log_dropped));
  page.Family("fetchd_shed_total", "Calls refused at the door, by the budget that was used up and by priority.",
              MetricType::Counter);
  constexpr std::array<const char*, 3> kPriorities = {"interactive", "normal", "bulk"};
  for (size_t i = 0; i < kPriorities.size(); ++i) {
    page.Value(static_cast<double>(s.shed_in_flight[i]), {{"budget", "in_flight"}, {"priority", kPriorities[i]}});
    page.Value(static_cast<double>(s.shed_body_bytes[i]), {{"budget", "body_bytes"}, {"priority", kPriorities[i]}});
    page.Value(static_cast<double>(s.shed_caller[i]), {{"budget", "caller"}, {"priority", kPriorities[i]}});
  }
  page.Gauge("fetchd_held_body_bytes", "Bytes of bodies in memory for Fetch, FetchBatch and FetchPaged.",
             static_cast<double>(s.held_body_bytes));
  page.Family("fetchd_config_reloads_total", "Reloads of the configuration, by what came of them.",
              MetricType::Counter);
  page.Value(static_cast<double>(s.config_reloads_ok), {{"result", "ok"}});
  page.Value(static_cast<double>(s.config_reloads_refused), {{"result", "refused"}});
  page.Counter("process_cpu_seconds_total", "User and system CPU time.", s.process.cpu_seconds);
  page.Gauge("process_resident_memory_bytes", "Resident memory.", static_cast<double>(s.process.resident_bytes));
  page.Gauge("process_open_fds", "Open file descriptors.", static_cast<double>(s.process.open_fds));
  page.Gauge("process_max_fds", "Most file descriptors that may be open; -1 for no limit.",
             static_cast<double>(s.process.max_fds));
  page.Gauge("process_start_time_seconds", "Start of the process since the Unix epoch.",
             ToSeconds(s.started_at.time_since_epoch()));
}

}  // namespace

std::string_view Version() { return FETCHD_VERSION; }

std::string RenderMetrics(const MetricsSnapshot& snapshot) {
  Page page(snapshot.threads);
  AddOutcomes(page);
  AddDurations(page);
  AddCounters(page);
  AddGauges(page);
  AddProcess(page, snapshot);
  return page.Text();
}

}  // namespace fetchd::server
