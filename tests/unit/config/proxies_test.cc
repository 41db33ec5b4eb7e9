#include "config/proxies.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "config/file.h"
#include "config/load.h"
#include "config/policy_rules.h"
#include "config/reload.h"
#include "config/room_options.h"
#include "model/url.h"

namespace fetchd::server {
namespace {

ServerConfig Parse(const std::string& yaml) {
  const auto config = ParseConfig(yaml, "f.yaml");
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? config->config : ServerConfig();
}

TEST(ParseProxyUrl, TakesHostAndPort) {
  const auto http = ParseProxyUrl("http://Proxy.Example.com:3128");
  ASSERT_TRUE(http.ok()) << http.status();
  EXPECT_EQ(http->kind, Proxy::Kind::kHttp);
  EXPECT_EQ(http->host, "proxy.example.com");
  EXPECT_FALSE(http->literal.has_value());
  EXPECT_EQ(http->port, 3128);
  const auto socks = ParseProxyUrl("socks5://[2001:db8::1]:1080/");
  ASSERT_TRUE(socks.ok()) << socks.status();
  EXPECT_EQ(socks->kind, Proxy::Kind::kSocks5);
  EXPECT_EQ(socks->literal, IpAddress::Parse("2001:db8::1"));
  EXPECT_EQ(ParseProxyUrl("http://proxy.test:80")->port, 80);
  EXPECT_EQ(ParseProxyUrl("socks5://192.0.2.1:1")->literal, IpAddress::Parse("192.0.2.1"));
}

TEST(ParseProxyUrl, SaysWhatIsWrong) {
  const struct {
    const char* url;
    const char* says;
  } rows[] = {
      {"", "neither http:// nor socks5://"},
      {"proxy.test:3128", "neither http:// nor socks5://"},
      {"socks4://h:1", "neither http:// nor socks5://"},
      {"HTTP://h:1", "neither http:// nor socks5://"},
      {"https://h:443", "TLS to a proxy is not supported"},
      {"socks5h://h:1", "names: remote"},
      {"http://h", "port is missing"},
      {"http://h:", "port is missing"},
      {"http://[2001:db8::1]", "port is missing"},
      {"http://h:0", "port"},
      {"http://h:65536", "port"},
      {"http://me:secret@h:1", "user name and password have keys of their own"},
      {"http://h:1/path", "nothing but a host and a port"},
      {"http://h:1/?q", "nothing but a host and a port"},
      {"http://h:1?q", "nothing but a host and a port"},
      {"http://h:1#f", "nothing but a host and a port"},
      {"http://:1", ""},
      {"http://127.1:1", ""},
      {"http://a b:1", ""},
  };
  for (const auto& row : rows) {
    const auto parsed = ParseProxyUrl(row.url);
    ASSERT_FALSE(parsed.ok()) << row.url;
    EXPECT_NE(parsed.status().message().find(row.says), absl::string_view::npos) << row.url << ": " << parsed.status();
    EXPECT_EQ(parsed.status().message().find("secret"), absl::string_view::npos);
  }
}

constexpr char kThree[] = R"(
proxies:
  - {name: plain, url: "http://proxy.test:3128"}
  - name: full
    url: socks5://192.0.2.1:1080
    no_proxy: [inside.test, 10.0.0.0/8]
    names: remote
    handshake_timeout: 1500ms
    on_request: true
proxy: plain
origins:
  - {hosts: [a.test], proxy: full}
  - {hosts: [b.test], proxy: direct, proxy_override: true}
  - {hosts: [c.test], proxy_override: true}
)";

TEST(MakeProxies, HandsOutEveryKey) {
  const std::vector<Proxy> proxies = MakeProxies(Parse(kThree));
  ASSERT_EQ(proxies.size(), 2u);
  const Proxy& plain = proxies[0];
  EXPECT_EQ(plain.name, "plain");
  EXPECT_EQ(plain.kind, Proxy::Kind::kHttp);
  EXPECT_EQ(plain.host, "proxy.test");
  EXPECT_EQ(plain.port, 3128);
  EXPECT_EQ(plain.names, Proxy::Names::kPinned);
  EXPECT_EQ(plain.handshake_timeout, std::chrono::seconds(5));
  EXPECT_FALSE(plain.on_request);
  EXPECT_FALSE(plain.no_proxy.Matches(*Url::Parse("http://inside.test/")));
  const Proxy& full = proxies[1];
  EXPECT_EQ(full.kind, Proxy::Kind::kSocks5);
  EXPECT_EQ(full.literal, IpAddress::Parse("192.0.2.1"));
  EXPECT_EQ(full.names, Proxy::Names::kRemote);
  EXPECT_EQ(full.handshake_timeout, std::chrono::milliseconds(1500));
  EXPECT_TRUE(full.on_request);
  EXPECT_TRUE(full.no_proxy.Matches(*Url::Parse("http://10.1.2.3/")));
  EXPECT_EQ(MakeProxies(Parse("proxies: [{name: a, url: \"http://h:1\", names: checked}]"))[0].names,
            Proxy::Names::kChecked);
}

TEST(MakePolicyRules, SaysWhoGoesThroughWhichProxy) {
  const PolicyBook book(MakePolicyRules(Parse(kThree)));
  const auto policy = [&](const char* host) {
    return book.ForCall(Origin{.scheme = Scheme::kHttps, .host = host, .port = 443}, "")->proxy;
  };
  const struct {
    const char* host;
    int proxy;
    bool may_override;
  } rows[] = {{"z.test", 0, false}, {"a.test", 1, false}, {"b.test", ProxyPolicy::kDirect, true}, {"c.test", 0, true}};
  for (const auto& row : rows) {
    EXPECT_EQ(policy(row.host).proxy, row.proxy) << row.host;
    EXPECT_TRUE(policy(row.host).prescribed) << row.host;
    EXPECT_EQ(policy(row.host).may_override, row.may_override) << row.host;
  }
  const PolicyBook silent(MakePolicyRules(Parse("")));
  EXPECT_FALSE(silent.ForCall(Origin{}, "")->proxy.prescribed);
  EXPECT_EQ(silent.ForCall(Origin{}, "")->proxy.proxy, ProxyPolicy::kDirect);
}

TEST(EffectivePolicyYaml, NamesTheProxy) {
  const auto yaml = EffectivePolicyYaml(Parse(kThree), {.url = "https://a.test/", .caller = "", .profile = ""});
  ASSERT_TRUE(yaml.ok());
  EXPECT_NE(yaml->find("\nproxy: full\n"), std::string::npos) << *yaml;
}

// A directory with the file of a password, and a configuration that names it.
class PasswordTest : public ::testing::Test {
 protected:
  PasswordTest() {
    char dir[] = "/tmp/fetchd_proxies_XXXXXX";
    EXPECT_NE(mkdtemp(dir), nullptr);
    dir_ = dir;
    path_ = dir_ + "/password";
    config_ = dir_ + "/f.yaml";
  }
  ~PasswordTest() override {
    ::unlink(path_.c_str());
    ::unlink(config_.c_str());
    ::rmdir(dir_.c_str());
  }
  std::string Yaml(const std::string& scheme) const {
    return "proxies:\n  - {name: a, url: \"" + scheme + "://192.0.2.1:1\", username: me, password_file: " + path_ +
           "}\n  - {name: b, url: \"http://192.0.2.2:1\"}\n";
  }
  absl::StatusOr<RoomOptions> Make(const std::string& password, const std::string& scheme = "http") {
    EXPECT_TRUE(WriteFileAtomically(path_, password).ok());
    return MakeRoomOptions(*ParseConfig(Yaml(scheme), "f.yaml"));
  }

  std::string dir_, path_, config_;
};

TEST_F(PasswordTest, IsReadFromItsFileWithoutTheLineEnd) {
  for (const char* text : {"s3cret", "s3cret\n", "s3cret\r\n"}) {
    const auto options = Make(text);
    ASSERT_TRUE(options.ok()) << options.status();
    const Proxy& proxy = *options->policies.proxies[0];
    EXPECT_EQ(proxy.username, "me");
    EXPECT_EQ(proxy.password, "s3cret");
    EXPECT_EQ(proxy.authorization, "Basic bWU6czNjcmV0");
    EXPECT_EQ(options->policies.proxies[1]->authorization, "");
  }
  const auto socks = Make("s3cret", "socks5");
  ASSERT_TRUE(socks.ok()) << socks.status();
  EXPECT_EQ(socks->policies.proxies[0]->password, "s3cret");
  EXPECT_EQ(socks->policies.proxies[0]->authorization, "");
}

TEST_F(PasswordTest, WhatCannotBeOneIsRefusedWithoutAWordOfIt) {
  EXPECT_TRUE(Make(std::string(255, 'x')).ok());
  for (const std::string& text : {std::string("\n"), std::string("s3cret\n\n"), std::string("s3cret\nmore"),
                                  std::string("s3\tcret"), std::string(256, 'x'), std::string("s3\0cret", 7)}) {
    const auto options = Make(text);
    ASSERT_FALSE(options.ok()) << text;
    const std::string message(options.status().message());
    const std::string begin = "f.yaml:2: proxies[0].password_file: " + path_ + " must hold a password";
    ASSERT_EQ(message.rfind(begin, 0), 0u) << message;
    // The path has random letters.
    EXPECT_EQ(message.find("s3", begin.size()), std::string::npos) << message;
  }
  EXPECT_NE(std::string(Make("").status().message()).find("the file is empty"), std::string::npos);
}

TEST_F(PasswordTest, AReloadKeepsTheProxiesThatStayTheSame) {
  ASSERT_TRUE(WriteFileAtomically(path_, "one\n").ok());
  ASSERT_TRUE(WriteFileAtomically(config_, Yaml("http")).ok());
  PolicySource policies;
  ConfigReloader reloader(config_, {}, Parse(""), policies);
  ASSERT_TRUE(reloader.Reload().ok());
  EXPECT_TRUE(reloader.Reload().needs_restart.empty());
  const auto before = policies.Get()->proxies();
  ASSERT_TRUE(reloader.Reload().ok());
  EXPECT_EQ(policies.Get()->proxies(), before);
  ASSERT_TRUE(WriteFileAtomically(path_, "two\n").ok());
  ASSERT_TRUE(reloader.Reload().ok());
  EXPECT_NE(policies.Get()->proxies()[0], before[0]);
  EXPECT_EQ(policies.Get()->proxies()[0]->password, "two");
  EXPECT_EQ(policies.Get()->proxies()[1], before[1]);
}

}  // namespace
}  // namespace fetchd::server
