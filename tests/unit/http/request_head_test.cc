#include "http/request_head.h"

#include <gtest/gtest.h>

#include <memory>

#include "model/proxy.h"

namespace fetchd::server {
namespace {

FetchSpec Spec(std::string method, std::string_view url) {
  FetchSpec spec;
  spec.method = std::move(method);
  spec.url = *Url::Parse(url);
  return spec;
}

std::string Head(const FetchSpec& spec, std::optional<RequestFraming> framing = std::nullopt) {
  std::string out;
  EXPECT_TRUE(AppendRequestHead(spec, framing.value_or(RequestFraming::OfBody(spec)), out));
  return out;
}

TEST(RequestHead, HostFirstThenTheCallersFieldsInOrder) {
  FetchSpec spec = Spec("GET", "http://example.com/a?b=1");
  spec.headers.Add("X-B", "2");
  spec.headers.Add("x-a", "1");
  spec.headers.Add("x-b", "3");
  EXPECT_EQ(Head(spec),
            "GET /a?b=1 HTTP/1.1\r\nhost: example.com\r\nx-b: 2\r\nx-a: 1\r\nx-b: 3\r\n"
            "user-agent: fetchd/0.1\r\naccept: */*\r\n\r\n");
}

FetchSpec ByProxy(std::string_view url, Proxy::Kind kind, HttpVersion version = HttpVersion::kAuto) {
  FetchSpec spec = Spec("GET", url);
  Proxy proxy;
  proxy.kind = kind;
  proxy.authorization = "Basic eDp5";
  spec.route = {version, std::make_shared<const Proxy>(proxy)};
  spec.headers.Add("proxy-authorization", "Basic of-the-caller");
  spec.headers.Add("x", "1");
  return spec;
}

TEST(RequestHead, AnHttpProxyGetsTheWholeUrlAndItsCredentialsAlone) {
  EXPECT_EQ(Head(ByProxy("http://example.com/a?b=1", Proxy::Kind::kHttp)),
            "GET http://example.com/a?b=1 HTTP/1.1\r\nhost: example.com\r\nproxy-authorization: Basic eDp5\r\nx: 1\r\n"
            "user-agent: fetchd/0.1\r\naccept: */*\r\n\r\n");
  EXPECT_EQ(Head(ByProxy("http://[2001:db8::1]:8080", Proxy::Kind::kHttp)).substr(0, 60),
            "GET http://[2001:db8::1]:8080/ HTTP/1.1\r\nhost: [2001:db8::1]");
  FetchSpec open = ByProxy("http://example.com/", Proxy::Kind::kHttp);
  open.route.proxy = std::make_shared<const Proxy>();
  EXPECT_EQ(Head(open).find("authorization"), std::string::npos) << "not the caller's either";
}

TEST(RequestHead, WhatGoesThroughATunnelIsForTheOriginAlone) {
  for (const FetchSpec& spec :
       {ByProxy("https://example.com/a", Proxy::Kind::kHttp), ByProxy("http://example.com/a", Proxy::Kind::kSocks5),
        ByProxy("http://example.com/a", Proxy::Kind::kHttp, HttpVersion::kHttp2)}) {
    EXPECT_EQ(Head(spec),
              "GET /a HTTP/1.1\r\nhost: example.com\r\nproxy-authorization: Basic of-the-caller\r\nx: 1\r\n"
              "user-agent: fetchd/0.1\r\naccept: */*\r\n\r\n");
  }
}

TEST(RequestHead, CallersUserAgentAndAcceptWin) {
  FetchSpec spec = Spec("GET", "http://example.com:8080/");
  spec.headers.Add("Accept", "text/csv");
  spec.headers.Add("User-Agent", "me");
  EXPECT_EQ(Head(spec), "GET / HTTP/1.1\r\nhost: example.com:8080\r\naccept: text/csv\r\nuser-agent: me\r\n\r\n");
}

TEST(RequestHead, AsksForCodingsIfTheSpecSaysSo) {
  FetchSpec spec = Spec("GET", "http://h/");
  spec.decoding = Decoding::kDecode;
  EXPECT_EQ(Head(spec).find("accept-encoding"), std::string::npos);
  spec.decoding = Decoding::kAskAndDecode;
  EXPECT_EQ(Head(spec),
            "GET / HTTP/1.1\r\nhost: h\r\nuser-agent: fetchd/0.1\r\naccept: */*\r\n"
            "accept-encoding: gzip, deflate, br, zstd\r\n\r\n");
}

TEST(RequestHead, ContentLengthWhereABodyIsThereOrExpected) {
  for (std::string method : {"POST", "PUT", "PATCH"}) {
    EXPECT_NE(Head(Spec(method, "http://h/")).find("\r\ncontent-length: 0\r\n"), std::string::npos) << method;
  }
  for (std::string method : {"GET", "DELETE", "OPTIONS"}) {
    EXPECT_EQ(Head(Spec(method, "http://h/")).find("content-length"), std::string::npos) << method;
  }
  FetchSpec spec = Spec("DELETE", "http://h/");
  spec.body = "12345";
  EXPECT_NE(Head(spec).find("\r\ncontent-length: 5\r\n"), std::string::npos);
}

TEST(RequestHead, StreamsSayLengthOrChunked) {
  FetchSpec spec = Spec("PUT", "http://h/");
  EXPECT_NE(Head(spec, RequestFraming::OfStream(7)).find("\r\ncontent-length: 7\r\n"), std::string::npos);
  std::string chunked = Head(spec, RequestFraming::OfStream(std::nullopt));
  EXPECT_NE(chunked.find("\r\ntransfer-encoding: chunked\r\n"), std::string::npos);
  EXPECT_EQ(chunked.find("content-length"), std::string::npos);
}

TEST(RequestHead, IsAppendedWholeWhateverItsSize) {
  FetchSpec spec = Spec("POST", "http://example.com/");
  std::string lines;
  for (int i = 0; i < 100; ++i) {
    const std::string value(static_cast<size_t>(i) * 7, 'v');
    spec.headers.Add("x-" + std::to_string(i), value);
    lines += "x-" + std::to_string(i) + ": " + value + "\r\n";
  }
  std::string out = "before";
  ASSERT_TRUE(AppendRequestHead(spec, RequestFraming::OfStream(UINT64_MAX), out));
  EXPECT_EQ(out, "beforePOST / HTTP/1.1\r\nhost: example.com\r\n" + lines +
                     "user-agent: fetchd/0.1\r\naccept: */*\r\ncontent-length: 18446744073709551615\r\n\r\n");
}

TEST(RequestHead, NothingCanAddALine) {
  for (std::string_view bad : {"a\r\nx: y", "a\nb", "a\rb", "\r\n", "\n"}) {
    std::string out;
    FetchSpec spec = Spec("GET", "http://h/");
    spec.headers.Add("x", bad);
    EXPECT_FALSE(AppendRequestHead(spec, {}, out));
    spec = Spec("GET", "http://h/");
    spec.headers.Add(bad, "x");
    EXPECT_FALSE(AppendRequestHead(spec, {}, out));
    spec = Spec(std::string(bad), "http://h/");
    EXPECT_FALSE(AppendRequestHead(spec, {}, out));
  }
  std::string out;
  FetchSpec spec = Spec("GET", "http://h/");
  spec.headers.Add("x", std::string_view("a\0b", 3));
  EXPECT_FALSE(AppendRequestHead(spec, {}, out));
}

}  // namespace
}  // namespace fetchd::server
