#include "http/plain_head.h"

#include <gtest/gtest.h>

#include <string>

#include "http/response_codec.h"

namespace fetchd::server {
namespace {

const std::string kOk = "HTTP/1.1 200 OK\r\n";
const std::string kLength = "Content-Length: 5\r\n";

size_t Parse(const std::string& text, HttpLimits limits = {}) {
  ResponseHead head;
  return ParsePlainHead(text, limits, head);
}

TEST(PlainHead, FieldsAreKeptInOrderWithoutBlanksAround) {
  const std::string text = kOk + "Date: today\r\n" + kLength + "X-A:\t a b \t\r\nempty:\r\n\r\n";
  ResponseHead head;
  ASSERT_EQ(ParsePlainHead(text + "hello", {}, head), text.size());
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.content_length, 5u);
  std::string fields;
  for (const HeaderView h : head.headers) fields.append(h.name).append("=").append(h.value).append(";");
  EXPECT_EQ(fields, "date=today;content-length=5;x-a=a b;empty=;");
}

TEST(PlainHead, TakesWhatIsCommon) {
  for (const std::string& text : {
           kOk + kLength + "\r\n",
           kOk + kLength + "Connection: keep-alive\r\n\r\n",
           kOk + kLength + "Connection: Keep-Alive\r\n\r\n",
           kOk + "content-length: 0\r\n\r\n",
           kOk + "content-length: 999999999999999\r\n\r\n",
           kOk + kLength + "X: \xe4\xf6\tb\r\n\r\n",
           "HTTP/1.1 599 \r\n" + kLength + "\r\n",
           "HTTP/1.1 404 Not Found\r\n" + kLength + "\r\n",
       })
    EXPECT_EQ(Parse(text), text.size()) << text;
}

TEST(PlainHead, LeavesEverythingElseToTheParser) {
  for (const std::string& text : {
           std::string(),
           kOk + "\r\n",
           "HTTP/1.0 200 OK\r\n" + kLength + "\r\n",
           "HTTP/1.1  200 OK\r\n" + kLength + "\r\n",
           "HTTP/1.1 200\r\n" + kLength + "\r\n",
           "HTTP/1.1 2x0 OK\r\n" + kLength + "\r\n",
           "HTTP/1.1 100 Continue\r\n" + kLength + "\r\n",
           "HTTP/1.1 600 Odd\r\n" + kLength + "\r\n",
           "HTTP/1.1 204 No\r\n" + kLength + "\r\n",
           "HTTP/1.1 304 No\r\n" + kLength + "\r\n",
           "HTTP/1.1 200 O\x01K\r\n" + kLength + "\r\n",
           "HTTP/1.1 200 OK\n" + kLength + "\r\n",
           kOk + kLength + kLength + "\r\n",
           kOk + "Content-Length: 5, 5\r\n\r\n",
           kOk + "Content-Length: \r\n\r\n",
           kOk + "Content-Length: -5\r\n\r\n",
           kOk + "Content-Length: +5\r\n\r\n",
           kOk + "Content-Length: 5 5\r\n\r\n",
           kOk + "Content-Length: 0x5\r\n\r\n",
           kOk + "Content-Length: 1000000000000000\r\n\r\n",
           kOk + kLength + "Connection: close\r\n\r\n",
           kOk + kLength + "Connection: keep-alive, close\r\n\r\n",
           kOk + kLength + "Proxy-Connection: close\r\n\r\n",
           kOk + kLength + "Upgrade: h2c\r\n\r\n",
           kOk + kLength + "Transfer-Encoding: chunked\r\n\r\n",
           kOk + "Transfer-Encoding: chunked\r\n" + kLength + "\r\n",
           kOk + "TRANSFER-ENCODING: chunked\r\n" + kLength + "\r\n",
           kOk + kLength + "X: y\r\n folded\r\n\r\n",
           kOk + kLength + "X: y\r\n\tfolded\r\n\r\n",
           kOk + " X: y\r\n" + kLength + "\r\n",
           kOk + kLength + "X : y\r\n\r\n",
           kOk + kLength + ": y\r\n\r\n",
           kOk + kLength + "no colon\r\n\r\n",
           kOk + kLength + "X: a\rb\r\n\r\n",
           kOk + kLength + "X: a\nY: b\r\n\r\n",
           kOk + kLength + "X: a\x7f\r\n\r\n",
           kOk + kLength + std::string("X: a\0b\r\n\r\n", 10),
           kOk + kLength + "X\xe4: a\r\n\r\n",
           kOk + kLength + "\n",
           kOk + kLength + "\r\r\n",
       })
    EXPECT_EQ(Parse(text), 0u) << text;
}

TEST(PlainHead, IsNothingBeforeItIsWhole) {
  const std::string text = kOk + kLength + "X-A: b\r\n\r\n";
  for (size_t n = 0; n < text.size(); ++n) EXPECT_EQ(Parse(text.substr(0, n)), 0u) << n;
  EXPECT_EQ(Parse(text), text.size());
}

TEST(PlainHead, IsNothingOverALimit) {
  const std::string text = kOk + kLength + "A: b\r\n\r\n";
  for (size_t HttpLimits::*const limit :
       {&HttpLimits::max_status_line_bytes, &HttpLimits::max_head_bytes, &HttpLimits::max_field_bytes}) {
    HttpLimits limits;
    limits.*limit = text.size();
    EXPECT_EQ(Parse(text, limits), text.size());
    limits.*limit = text.size() - 1;
    EXPECT_EQ(Parse(text, limits), 0u);
  }
  HttpLimits limits;
  limits.max_header_count = 2;
  EXPECT_EQ(Parse(text, limits), text.size());
  limits.max_header_count = 1;
  EXPECT_EQ(Parse(text, limits), 0u);
}

// What the codec makes of a head that came whole, and of the same in two pieces, which is the parser's work.
TEST(PlainHead, MeansWhatTheParserMakesOfIt) {
  const std::string fields[] = {"A: b\r\n",       "a:b\r\n",         "X-A:  a \t b \r\n", "Set-Cookie: x\r\n",
                                "e:\r\n",         "e: \t \r\n",      "u: \xc3\xa4\r\n",   "Connection: keep-alive\r\n",
                                "!#$%&'*: y\r\n", "Upgrade-X: y\r\n"};
  for (const std::string& line : {std::string("HTTP/1.1 200 OK\r\n"), std::string("HTTP/1.1 503 \r\n"),
                                  std::string("HTTP/1.1 299 \xe4 \t~\r\n")}) {
    for (const std::string& field : fields) {
      for (const std::string& length : {std::string("content-length: 0\r\n"), std::string("CONTENT-LENGTH:7 \r\n")}) {
        const std::string text = line + field + length + field + "\r\n";
        ASSERT_EQ(Parse(text), text.size()) << text;
        const HttpLimits limits;
        ResponseCodec whole(limits, false), pieces(limits, false);
        size_t used = 0;
        ASSERT_EQ(whole.ParseHead(text, used), ResponseCodec::HeadStep::kHead);
        EXPECT_EQ(used, text.size());
        size_t first = 0, second = 0;
        ASSERT_EQ(pieces.ParseHead(text.substr(0, text.size() - 1), first), ResponseCodec::HeadStep::kNeedMore) << text;
        ASSERT_EQ(pieces.ParseHead(text.substr(first), second), ResponseCodec::HeadStep::kHead) << text;
        EXPECT_EQ(first + second, text.size());
        EXPECT_EQ(whole.framing(), pieces.framing());
        EXPECT_EQ(whole.keep_alive(), pieces.keep_alive());
        EXPECT_EQ(whole.final_head_began(), pieces.final_head_began());
        const ResponseHead a = whole.TakeHead(), b = pieces.TakeHead();
        EXPECT_EQ(a.status, b.status);
        EXPECT_EQ(a.content_length, b.content_length);
        ASSERT_EQ(a.headers.size(), b.headers.size());
        for (size_t i = 0; i < a.headers.size(); ++i) {
          EXPECT_EQ(a.headers[i].name, b.headers[i].name) << text;
          EXPECT_EQ(a.headers[i].value, b.headers[i].value) << text;
        }
      }
    }
  }
}

}  // namespace
}  // namespace fetchd::server
