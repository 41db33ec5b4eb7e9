#include "config/room_options.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "config/file.h"
#include "config/load.h"

namespace fetchd::server {
namespace {

RoomOptions Make(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "f.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  const auto options = MakeRoomOptions(*config);
  EXPECT_TRUE(options.ok()) << options.status();
  return options.ok() ? *options : RoomOptions();
}

std::string Refusal(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "f.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  return std::string(MakeRoomOptions(*config).status().message());
}

// The defaults that people read in the proto are those that the rooms' own tests run with.
TEST(MakeRoomOptions, DefaultsAreThoseOfTheRooms) {
  const RoomOptions made = Make("");
  const RoomOptions rooms;
  EXPECT_EQ(made.rpc.reader.max_unary_body_bytes, rooms.rpc.reader.max_unary_body_bytes);
  EXPECT_EQ(made.rpc.reader.max_selected_body_bytes, rooms.rpc.reader.max_selected_body_bytes);
  EXPECT_EQ(made.rpc.reader.max_batch_items, rooms.rpc.reader.max_batch_items);
  EXPECT_EQ(made.rpc.reader.batch_concurrency, rooms.rpc.reader.batch_concurrency);
  EXPECT_EQ(made.rpc.reader.max_pages, rooms.rpc.reader.max_pages);
  EXPECT_EQ(made.rpc.listen, rooms.rpc.listen);
  EXPECT_FALSE(made.rpc.tls.has_value());
  EXPECT_EQ(made.rpc.drain_pause, rooms.rpc.drain_pause);
  EXPECT_EQ(made.rpc.admission.max_in_flight, rooms.rpc.admission.max_in_flight);
  EXPECT_EQ(made.ops.listen, rooms.ops.listen);
  EXPECT_EQ(made.rpc.admin_listen, rooms.rpc.admin_listen);
  EXPECT_EQ(made.tokens.ttl, rooms.tokens.ttl);
  EXPECT_EQ(made.engine.pool.max_per_origin, rooms.engine.pool.max_per_origin);
  EXPECT_EQ(made.engine.pool.max_total, rooms.engine.pool.max_total / static_cast<size_t>(made.engine.threads));
  EXPECT_EQ(made.engine.pool.max_queue, rooms.engine.pool.max_queue);
  EXPECT_EQ(made.engine.pool.idle_timeout, rooms.engine.pool.idle_timeout);
  EXPECT_EQ(made.engine.pool.max_lifetime, rooms.engine.pool.max_lifetime);
  EXPECT_EQ(made.engine.http.max_head_bytes, rooms.engine.http.max_head_bytes);
  EXPECT_EQ(made.engine.http.max_field_bytes, rooms.engine.http.max_field_bytes);
  EXPECT_EQ(made.engine.http.max_header_count, rooms.engine.http.max_header_count);
  EXPECT_EQ(made.engine.http.max_trailer_bytes, rooms.engine.http.max_trailer_bytes);
  EXPECT_EQ(made.engine.resolver.hosts_file, rooms.engine.resolver.hosts_file);
  EXPECT_EQ(made.engine.resolver.min_ttl, rooms.engine.resolver.min_ttl);
  EXPECT_EQ(made.engine.resolver.max_ttl, rooms.engine.resolver.max_ttl);
  EXPECT_EQ(made.engine.resolver.negative_ttl, rooms.engine.resolver.negative_ttl);
  EXPECT_EQ(made.engine.resolver.max_entries, rooms.engine.resolver.max_entries);
  EXPECT_EQ(made.engine.tls.use_system_cas, rooms.engine.tls.use_system_cas);
  EXPECT_EQ(made.engine.tls.ca_file, rooms.engine.tls.ca_file);
  EXPECT_EQ(made.log.level, rooms.log.level);
  EXPECT_EQ(made.log.format, rooms.log.format);
  EXPECT_EQ(made.access_log.which, rooms.access_log.which);
  EXPECT_EQ(made.drain_time, std::chrono::seconds(27));
  EXPECT_GE(made.engine.threads, 1);
}

TEST(MakeRoomOptions, HandsOutWhatTheFileSays) {
  const RoomOptions options = Make(R"(
engine: {threads: 3}
pool: {max_connections_per_origin: 5, max_connections: 90, max_queue_per_origin: 0, idle_timeout: 2s, max_lifetime: 3s}
dns: {servers: ["192.0.2.53", "[2001:db8::53]:5353"], negative_ttl: 1s, max_cache_entries: 0}
guard: {allow_cidrs: [10.0.0.0/8], deny_cidrs: ["2001:db8::/32"], allowed_ports: ["443", "8000-8999"]}
timeouts: {default: {total: 3s}, cap: {total: 4s, dns: 5s}}
retry: {max_attempts: 1}
limits: {max_in_flight: 200, max_unary_body_bytes: 1MiB, max_selected_body_bytes: 2MiB, max_pages: 7, max_response_fields: 9}
paging: {resume_token_ttl: 1h}
drain: {pause: 0s, deadline: 3s}
log: {level: error, format: json, access: failures, request_headers: [user-agent]}
ops: {listen: "[::1]:7"}
admin: {listen: "127.0.0.1:8"}
)");
  EXPECT_EQ(options.engine.threads, 3);
  EXPECT_EQ(options.engine.pool.max_per_origin, 5u);
  EXPECT_EQ(options.engine.pool.max_total, 30u) << "each thread has its share";
  EXPECT_EQ(options.engine.pool.max_queue, 0u);
  EXPECT_EQ(options.engine.pool.idle_timeout, std::chrono::seconds(2));
  EXPECT_EQ(options.engine.pool.max_lifetime, std::chrono::seconds(3));
  EXPECT_EQ(options.engine.resolver.servers, (std::vector<std::string>{"192.0.2.53", "[2001:db8::53]:5353"}));
  EXPECT_EQ(options.engine.resolver.negative_ttl, std::chrono::seconds(1));
  EXPECT_EQ(options.engine.resolver.max_entries, 0u);
  ASSERT_EQ(options.address_guard.allow.size(), 1u);
  EXPECT_EQ(options.address_guard.allow[0].ToString(), "10.0.0.0/8");
  EXPECT_EQ(options.address_guard.deny.at(0).ToString(), "2001:db8::/32");
  ASSERT_EQ(options.url_guard.allowed_ports.size(), 2u);
  EXPECT_EQ(options.url_guard.allowed_ports[1].first, 8000);
  EXPECT_EQ(options.url_guard.allowed_ports[1].last, 8999);
  EXPECT_EQ(options.policies.calls.at(0).timeouts.total, std::chrono::seconds(3));
  EXPECT_EQ(options.policies.timeout_caps.total, std::chrono::seconds(4));
  EXPECT_EQ(options.policies.calls.at(0).retry.max_attempts, 1);
  EXPECT_EQ(options.rpc.admission.max_in_flight, 200);
  EXPECT_EQ(options.rpc.reader.max_unary_body_bytes, 1u << 20);
  EXPECT_EQ(options.rpc.reader.max_selected_body_bytes, 2u << 20);
  EXPECT_EQ(options.rpc.reader.max_pages, 7u);
  EXPECT_EQ(options.engine.http.max_header_count, 9u);
  EXPECT_EQ(options.tokens.ttl, std::chrono::hours(1));
  EXPECT_EQ(options.rpc.drain_pause, Duration::zero());
  EXPECT_EQ(options.drain_time, std::chrono::seconds(3));
  EXPECT_EQ(options.log.level, LogLevel::kError);
  EXPECT_EQ(options.access_log.format, LogFormat::kJson);
  EXPECT_EQ(options.access_log.which, AccessLogOptions::Which::kFailures);
  EXPECT_EQ(options.access_log.request_headers, std::vector<std::string>{"user-agent"});
  EXPECT_EQ(options.ops.listen.ToString(), "[::1]:7");
  EXPECT_EQ(options.rpc.admin_listen, "127.0.0.1:8");
}

TEST(MakeRoomOptions, NamesTheKeyOfAFileThatIsNotGood) {
  char dir[] = "/tmp/fetchd_room_options_XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  const std::string text = std::string(dir) + "/text";
  ASSERT_TRUE(WriteFileAtomically(text, "not what you think\n").ok());
  const std::string missing = std::string(dir) + "/missing";

  EXPECT_EQ(Refusal("tls: {cert_file: " + missing + ", key_file: " + missing + "}"),
            "f.yaml:1: tls.cert_file: cannot read " + missing +
                ": No such file or directory\nf.yaml:1: tls.key_file: cannot read " + missing +
                ": No such file or directory");
  EXPECT_EQ(Refusal("tls: {cert_file: " + text + ", key_file: " + text + "}"),
            "f.yaml:1: tls.cert_file: " + text + " has no certificate (PEM, \"BEGIN CERTIFICATE\")");
  EXPECT_EQ(Refusal("upstream_tls: {ca_file: " + text + "}"),
            "f.yaml:1: upstream_tls.ca_file: " + text + " has no certificate (PEM, \"BEGIN CERTIFICATE\")");
  EXPECT_EQ(
      Refusal("paging: {resume_token_key_file: " + text + "}").rfind("f.yaml:1: paging.resume_token_key_file: ", 0),
      0u);
  EXPECT_EQ(
      Refusal("paging: {resume_token_key_file: " + missing + "}").rfind("f.yaml:1: paging.resume_token_key_file: ", 0),
      0u);

  ::unlink(text.c_str());
  ::rmdir(dir);
}

}  // namespace
}  // namespace fetchd::server
