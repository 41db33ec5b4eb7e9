#include "policy/redirect.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace fetchd::server {
namespace {

FetchSpec Spec(std::string_view url, RedirectMode mode = RedirectMode::kFollow, std::string method = "GET",
               std::string body = "") {
  FetchSpec spec;
  spec.url = *Url::Parse(url);
  spec.method = std::move(method);
  spec.body = std::move(body);
  HopOptions hops;
  hops.mode = mode;
  spec.hops = std::make_shared<const HopOptions>(hops);
  return spec;
}

ResponseHead Head(int status, const std::vector<std::string>& locations) {
  ResponseHead head;
  head.status = status;
  for (const std::string& location : locations) head.headers.Add("location", location);
  return head;
}

RedirectDecision Decide(const FetchSpec& spec, const ResponseHead& head, bool streamed = false, int followed = 0) {
  return DecideRedirect(
      {.options = *spec.hops, .spec = spec, .streamed_body = streamed, .head = head, .followed = followed});
}

TEST(Redirect, OnlyRedirectCodesAreFollowed) {
  for (int status = 200; status < 600; ++status) {
    const bool is_redirect = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    EXPECT_EQ(Decide(Spec("http://a.test/"), Head(status, {"/x"})).verdict,
              is_redirect ? RedirectVerdict::kFollow : RedirectVerdict::kNone)
        << status;
  }
}

TEST(Redirect, WithoutLocationOrWishItIsAResponse) {
  EXPECT_EQ(Decide(Spec("http://a.test/"), Head(302, {})).verdict, RedirectVerdict::kNone);
  EXPECT_EQ(Decide(Spec("http://a.test/", RedirectMode::kNone), Head(302, {"/x"})).verdict, RedirectVerdict::kNone);
}

// https://fetch.spec.whatwg.org/#http-redirect-fetch
TEST(Redirect, MethodAndBodyAfterEachStatus) {
  struct Row {
    int status;
    std::string method;
    std::string then;
    bool keeps_body;
  };
  const Row rows[] = {{301, "GET", "GET", true},
                      {301, "HEAD", "HEAD", true},
                      {301, "POST", "GET", false},
                      {301, "PUT", "PUT", true},
                      {301, "DELETE", "DELETE", true},
                      {302, "POST", "GET", false},
                      {302, "PATCH", "PATCH", true},
                      {302, "QUERY", "QUERY", true},
                      {303, "GET", "GET", false},
                      {303, "HEAD", "HEAD", false},
                      {303, "POST", "GET", false},
                      {303, "PUT", "GET", false},
                      {303, "DELETE", "GET", false},
                      {303, "QUERY", "GET", false},
                      {307, "POST", "POST", true},
                      {307, "PUT", "PUT", true},
                      {308, "POST", "POST", true},
                      {308, "GET", "GET", true},
                      // Methods are case-sensitive.
                      {302, "post", "post", true}};
  for (const Row& row : rows) {
    SCOPED_TRACE(std::to_string(row.status) + " " + row.method);
    FetchSpec spec = Spec("http://a.test/", RedirectMode::kFollow, row.method, "body");
    for (const char* name :
         {"content-type", "Content-Encoding", "content-language", "content-location", "repr-digest", "x-other"})
      spec.headers.Add(name, "v");
    RedirectDecision decision = Decide(spec, Head(row.status, {"/next"}));
    ASSERT_EQ(decision.verdict, RedirectVerdict::kFollow);
    FollowRedirect(std::move(decision), spec);
    EXPECT_EQ(spec.method, row.then);
    EXPECT_EQ(spec.body, row.keeps_body ? "body" : "");
    EXPECT_EQ(spec.headers.size(), row.keeps_body ? 6u : 1u);
    EXPECT_TRUE(spec.headers.Has("x-other"));
    EXPECT_EQ(spec.url.text(), "http://a.test/next");
  }
}

TEST(Redirect, AStreamedBodyIsNotSentAgain) {
  const FetchSpec post = Spec("http://a.test/", RedirectMode::kFollow, "POST");
  EXPECT_EQ(Decide(post, Head(307, {"/x"}), true).verdict, RedirectVerdict::kReturn);
  EXPECT_EQ(Decide(post, Head(308, {"/x"}), true).verdict, RedirectVerdict::kReturn);
  for (const int status : {301, 302, 303}) {
    EXPECT_EQ(Decide(post, Head(status, {"/x"}), true).verdict, RedirectVerdict::kFollow) << status;
  }
  EXPECT_EQ(Decide(Spec("http://a.test/", RedirectMode::kFollow, "PUT"), Head(302, {"/x"}), true).verdict,
            RedirectVerdict::kReturn);
}

TEST(Redirect, LocationsAreResolved) {
  const std::pair<const char*, const char*> rows[] = {{"/c", "http://a.test/c"},
                                                      {"c", "http://a.test/b/c"},
                                                      {"../c?x=1", "http://a.test/c?x=1"},
                                                      {"?y", "http://a.test/b/p?y"},
                                                      {"", "http://a.test/b/p?q"},
                                                      {"#f", "http://a.test/b/p?q"},
                                                      {"/c#frag", "http://a.test/c"},
                                                      {"//b.test", "http://b.test/"},
                                                      {"HTTP://B.test:80/x", "http://b.test/x"},
                                                      {"https://b.test/x", "https://b.test/x"},
                                                      {"/a b\xc3\xa9", "http://a.test/a%20b%C3%A9"}};
  for (const auto& [location, expected] : rows) {
    const RedirectDecision decision = Decide(Spec("http://a.test/b/p?q"), Head(302, {location}));
    ASSERT_EQ(decision.verdict, RedirectVerdict::kFollow) << location;
    EXPECT_EQ(decision.url.text(), expected) << location;
  }
}

TEST(Redirect, BadLocationsAreRefused) {
  const std::pair<std::vector<std::string>, FailureCode> rows[] = {
      {{"http://u:p@b.test/"}, FailureCode::kRedirectInvalid},
      {{"http://"}, FailureCode::kRedirectInvalid},
      {{"http://b.test:99999/"}, FailureCode::kRedirectInvalid},
      {{"http://0x7f.1/"}, FailureCode::kRedirectInvalid},
      {{"/a\x01"}, FailureCode::kRedirectInvalid},
      {{"/" + std::string(Url::kMaxSize, 'x')}, FailureCode::kRedirectInvalid},
      {{"/a", "/b"}, FailureCode::kRedirectInvalid},
      {{"ftp://b.test/"}, FailureCode::kHttpRequestDenied},
      {{"javascript:alert(1)"}, FailureCode::kHttpRequestDenied},
      {{"file:///etc/passwd"}, FailureCode::kHttpRequestDenied}};
  for (const auto& [locations, code] : rows) {
    const RedirectDecision decision = Decide(Spec("http://a.test/"), Head(302, locations));
    ASSERT_EQ(decision.verdict, RedirectVerdict::kRefuse) << locations[0];
    EXPECT_EQ(decision.failure.code, code) << locations[0];
    EXPECT_EQ(decision.failure.processed, Processed::kYes);
  }
  // Said twice is said once.
  EXPECT_EQ(Decide(Spec("http://a.test/"), Head(302, {"/a", "/a"})).verdict, RedirectVerdict::kFollow);
}

TEST(Redirect, OriginsAndSchemes) {
  const auto code = [](const char* from, RedirectMode mode, const char* to) -> int {
    const RedirectDecision decision = Decide(Spec(from, mode), Head(302, {to}));
    return decision.verdict == RedirectVerdict::kRefuse ? static_cast<int>(decision.failure.code) : 0;
  };
  constexpr int kProhibited = static_cast<int>(FailureCode::kRedirectOriginProhibited);
  EXPECT_EQ(code("https://a.test/", RedirectMode::kSameOrigin, "https://a.test:443/x"), 0);
  EXPECT_EQ(code("https://a.test/", RedirectMode::kSameOrigin, "https://a.test:444/x"), kProhibited);
  EXPECT_EQ(code("https://a.test/", RedirectMode::kSameOrigin, "https://b.test/x"), kProhibited);
  EXPECT_EQ(code("http://a.test/", RedirectMode::kSameOrigin, "https://a.test/x"), kProhibited);
  EXPECT_EQ(code("https://a.test/", RedirectMode::kSameOrigin, "http://a.test/x"), kProhibited);
  EXPECT_EQ(code("http://a.test/", RedirectMode::kFollow, "https://a.test/x"), 0);
  EXPECT_EQ(code("https://a.test/", RedirectMode::kFollow, "http://a.test/x"),
            static_cast<int>(FailureCode::kRedirectInsecure));
}

TEST(Redirect, TheLimitCountsWhatWasFollowed) {
  const FetchSpec spec = Spec("http://a.test/");
  EXPECT_EQ(Decide(spec, Head(302, {"/"}), false, 9).verdict, RedirectVerdict::kFollow);
  const RedirectDecision refused = Decide(spec, Head(302, {"/"}), false, 10);
  ASSERT_EQ(refused.verdict, RedirectVerdict::kRefuse);
  EXPECT_EQ(refused.failure.code, FailureCode::kRedirectLimit);
}

TEST(Redirect, SecretsStayWithTheirOrigin) {
  struct Row {
    const char* to;
    bool keeps;
  };
  const Row rows[] = {{"http://a.test/x", true},   {"http://a.test:80/x", true}, {"http://a.test:8080/x", false},
                      {"https://a.test/x", false}, {"http://b.test/x", false},   {"http://sub.a.test/", false}};
  for (const Row& row : rows) {
    FetchSpec spec = Spec("http://a.test/");
    spec.headers.Add("Authorization", "Bearer secret");
    spec.headers.Add("cookie", "a=b");
    spec.headers.Add("proxy-authorization", "x");
    spec.headers.Add("Proxy-Custom", "x");
    spec.headers.Add("x-token", "x", true);
    spec.headers.Add("x-api-key", "x");
    spec.headers.Add("accept", "*/*");
    RedirectDecision decision = Decide(spec, Head(307, {row.to}));
    FollowRedirect(std::move(decision), spec);
    EXPECT_EQ(spec.headers.size(), row.keeps ? 7u : 1u) << row.to;
    EXPECT_TRUE(spec.headers.Has("accept"));
    // And back home.
    FollowRedirect(Decide(spec, Head(307, {"http://a.test/"})), spec);
    EXPECT_EQ(spec.headers.Has("authorization"), row.keeps) << row.to;
  }
}

}  // namespace
}  // namespace fetchd::server
