#include "http/response_codec.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fetchd::server {
namespace {

using HeadStep = ResponseCodec::HeadStep;
using Step = ResponseCodec::Step;
using Framing = ResponseCodec::Framing;

// What came of feeding a whole response in pieces.
struct Parsed {
  bool head = false;
  bool done = false;  // a chunked body ended
  bool failed = false;
  FailureCode code{};
  int status = 0;
  std::string headers, trailers, body, rest;
  Framing framing = Framing::kNone;
  bool keep_alive = false;
  int interim = 0;
  std::optional<uint64_t> length;
  bool operator==(const Parsed&) const = default;
};

std::string Text(const Headers& headers) {
  std::string text;
  for (HeaderView h : headers) text.append(h.name).append("=").append(h.value).append(";");
  return text;
}

// Feeds `pieces` one after the other, as reads of a connection.
Parsed Feed(const std::vector<std::string>& pieces, HttpLimits limits = {}, bool head_request = false) {
  ResponseCodec codec(limits, head_request);
  Parsed out;
  std::string buffer;
  auto step_once = [&] {
    size_t used = 0;
    Step step = Step::kNeedMore;
    if (!out.head) {
      const HeadStep head_step = codec.ParseHead(buffer, used);
      if (head_step == HeadStep::kFailed) step = Step::kFailed;
      if (head_step == HeadStep::kHead) {
        step = Step::kBody;
        ResponseHead head = codec.TakeHead();
        out.head = true;
        out.status = head.status;
        out.headers = Text(head.headers);
        out.length = head.content_length;
        out.framing = codec.framing();
        out.keep_alive = codec.keep_alive();
      }
    } else if (out.framing == Framing::kChunked) {
      std::string_view piece;
      step = codec.ParseChunked(buffer, used, piece);
      if (step == Step::kBody) {
        EXPECT_FALSE(piece.empty());
        out.body += piece;
      }
      if (step == Step::kDone) {
        out.done = true;
        out.trailers = Text(codec.TakeTrailers());
      }
    } else {
      return false;
    }
    if (step == Step::kFailed) {
      out.failed = true;
      out.code = codec.failure().code;
      EXPECT_FALSE(codec.failure().detail.empty());
      return false;
    }
    buffer.erase(0, used);
    return step != Step::kNeedMore && !out.done && !buffer.empty();
  };
  for (const std::string& piece : pieces) {
    buffer += piece;
    if (buffer.empty()) continue;
    while (!out.failed && !out.done && step_once()) {
    }
    if (out.failed) break;
  }
  out.interim = codec.interim_responses();
  if (!out.failed) out.rest = buffer;
  return out;
}

Parsed FeedWhole(std::string text, HttpLimits limits = {}, bool head_request = false) {
  return Feed({std::move(text)}, limits, head_request);
}

const std::string kOk = "HTTP/1.1 200 OK\r\n";

TEST(ResponseCodec, SplitAtEveryByteMeansTheSame) {
  const std::string responses[] = {
      kOk + "Content-Length: 5\r\nX-A:  a b \r\nx-a:\r\n\r\nhello",
      kOk +
          "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10;x=\"y\"\r\n0123456789abcdef\r\n0\r\nX-T: 1\r\nX-U: "
          "2\r\n\r\nleft",
      kOk + "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
      kOk + "Transfer-Encoding: chunked\r\n\r\n00a;ext\r\n0123456789\r\n000;e\r\n\r\n",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + kOk + "Content-Length: 0\r\n\r\n",
      "HTTP/1.0 404 \r\n\r\nuntil the end",
      "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n",
      kOk + "Transfer-Encoding: gzip\r\n\r\n",
      kOk + "X: y\r\n folded\r\n\r\n",
      kOk + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
      kOk + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\tfolded\r\n\r\n",
      "HTTP/1.1 700 Odd\r\n\r\n",
      "not HTTP at all\r\n\r\n",
  };
  for (const std::string& text : responses) {
    const Parsed whole = FeedWhole(text);
    std::vector<std::string> bytes;
    for (char c : text) bytes.emplace_back(1, c);
    Parsed by_bytes = Feed(bytes);
    auto expect_same = [&](Parsed got, const std::string& how) {
      // The rest of a body that is not chunked is not the codec's business.
      EXPECT_EQ(got.head, whole.head) << text << how;
      EXPECT_EQ(got.failed, whole.failed) << text << how;
      EXPECT_EQ(got.code, whole.code) << text << how;
      if (whole.failed) return;
      EXPECT_TRUE(got == whole) << text << how;
    };
    expect_same(by_bytes, " byte by byte");
    for (size_t at = 1; at < text.size(); ++at)
      expect_same(Feed({text.substr(0, at), text.substr(at)}), " split at " + std::to_string(at));
  }
}

TEST(ResponseCodec, HeadIsKeptInOrderWithLowerCaseNames) {
  Parsed p =
      FeedWhole(kOk + "Content-Length: 5\r\nSet-Cookie: a=1\r\nX-Y: \xe4\xf6 \r\nset-cookie: b\r\nEmpty:\r\n\r\n");
  ASSERT_TRUE(p.head);
  EXPECT_EQ(p.headers, "content-length=5;set-cookie=a=1;x-y=\xe4\xf6;set-cookie=b;empty=;");
  EXPECT_EQ(p.length, 5u);
  EXPECT_TRUE(p.keep_alive);
}

TEST(ResponseCodec, ChunkedBodyWithExtensionsAndTrailers) {
  Parsed p =
      FeedWhole(kOk + "Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nDigest: x\r\n\r\nrest");
  EXPECT_TRUE(p.done);
  EXPECT_EQ(p.body, "hello!");
  EXPECT_EQ(p.trailers, "digest=x;");
  EXPECT_EQ(p.rest, "rest");
  EXPECT_EQ(p.length, std::nullopt);
}

TEST(ResponseCodec, InterimResponsesAreSkipped) {
  Parsed p = FeedWhole("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + kOk + "A: b\r\n\r\n");
  ASSERT_TRUE(p.head);
  EXPECT_EQ(p.status, 200);
  EXPECT_EQ(p.headers, "a=b;");
  EXPECT_EQ(p.interim, 2);
}

TEST(ResponseCodec, FramingTable) {
  struct Row {
    std::string text;
    bool head_request;
    Framing framing;
    bool keep_alive;
    std::optional<uint64_t> length;
  };
  const Row rows[] = {
      {kOk + "\r\n", false, Framing::kUntilClose, false, std::nullopt},
      {kOk + "\r\n", true, Framing::kNone, true, 0},
      {kOk + "Content-Length: 7\r\n\r\n", true, Framing::kNone, true, 0},
      {kOk + "Transfer-Encoding: chunked\r\n\r\n", true, Framing::kNone, true, 0},
      {kOk + "Content-Length: 0\r\n\r\n", false, Framing::kNone, true, 0},
      {kOk + "Content-Length: 7\r\n\r\n", false, Framing::kLength, true, 7},
      {kOk + "Content-Length: 7, 7\r\n\r\n", false, Framing::kLength, true, 7},
      {kOk + "Content-Length: 7\r\nContent-Length: 7\r\n\r\n", false, Framing::kLength, true, 7},
      {kOk + "Content-Length: 7\r\nConnection: close\r\n\r\n", false, Framing::kLength, false, 7},
      {kOk + "Content-Length: 7\r\nConnection: X, Close\r\n\r\n", false, Framing::kLength, false, 7},
      {kOk + "Content-Length: 18446744073709551615\r\n\r\n", false, Framing::kLength, true, UINT64_MAX},
      {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", false, Framing::kLength, false, 7},
      {"HTTP/1.0 200 OK\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n", false, Framing::kLength, true, 7},
      {"HTTP/1.1 204 N\r\nContent-Length: 7\r\n\r\n", false, Framing::kNone, true, 0},
      {"HTTP/1.1 304 N\r\nTransfer-Encoding: chunked\r\n\r\n", false, Framing::kNone, true, 0},
      {"HTTP/1.1 599 \r\nContent-Length: 1\r\n\r\n", false, Framing::kLength, true, 1},
  };
  for (const Row& row : rows) {
    Parsed p = FeedWhole(row.text, {}, row.head_request);
    EXPECT_TRUE(p.head) << row.text;
    EXPECT_EQ(p.framing, row.framing) << row.text;
    EXPECT_EQ(p.keep_alive, row.keep_alive) << row.text;
    EXPECT_EQ(p.length, row.length) << row.text;
  }
}

// Feeds whole, halved and byte by byte: limits must not depend on the cut.
void ExpectCode(const std::string& text, std::optional<FailureCode> code, HttpLimits limits) {
  std::vector<std::string> bytes;
  for (char c : text) bytes.emplace_back(1, c);
  for (const Parsed& p :
       {FeedWhole(text, limits), Feed({text.substr(0, text.size() / 2), text.substr(text.size() / 2)}, limits),
        Feed(bytes, limits)}) {
    EXPECT_EQ(p.failed, code.has_value());
    EXPECT_EQ(p.code, code.value_or(FailureCode{})) << ToString(p.code);
  }
}

TEST(ResponseCodec, EachOffenceHasItsCode) {
  using enum FailureCode;
  const std::string te = "Transfer-Encoding: chunked\r\n\r\n";
  const std::pair<std::string, FailureCode> rows[] = {
      {"\r\n" + kOk + "\r\n", kHttpStatusLineInvalid},
      {"HTTP/2.0 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/0.9 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.2 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.10 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1. 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"http/1.1 200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1  200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1\t200 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 20 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 2000 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 200OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 +20 OK\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 \r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 200 O\x01K\r\n\r\n", kHttpStatusLineInvalid},
      {"HTTP/1.1 200 O\x7fK\r\n\r\n", kHttpStatusLineInvalid},
      {"<html>not HTTP</html>", kHttpStatusLineInvalid},
      {"HTTP/1.1 000 Low\r\n\r\n", kHttpStatusInvalid},
      {"HTTP/1.1 099 Low\r\n\r\n", kHttpStatusInvalid},
      {"HTTP/1.1 600 High\r\n\r\n", kHttpStatusInvalid},
      {"HTTP/1.1 999 High\r\n\r\n", kHttpStatusInvalid},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", kHttpStatusInvalid},
      {"HTTP/1.1 200 O\rK\r\n\r\n", kHttpBareCr},
      {kOk + "X: bad\rvalue\r\n\r\n", kHttpBareCr},
      {kOk + "X: y\r\r\n\r\n", kHttpBareCr},
      {kOk + "X\r: y\r\n\r\n", kHttpBareCr},
      {"HTTP/1.1 200 OK\n\n" + std::string(8, 'x'), kHttpBareLf},
      {"HTTP/1.1 200 OK\nContent-Length: 0\n\n", kHttpBareLf},
      {kOk + "X: bad\nY: value\r\n\r\n", kHttpBareLf},
      {kOk + "X: y\r\n\n", kHttpBareLf},
      {kOk + te + "5\nhello\r\n\r\n", kHttpBareLf},
      {kOk + te + "0\r\nX: y\n\n", kHttpBareLf},
      {std::string("HTTP/1.1 200 O\0K\r\n\r\n", 20), kHttpNul},
      {kOk + std::string("X: a\0b\r\n\r\n", 10), kHttpNul},
      {kOk + std::string("X\0: a\r\n\r\n", 9), kHttpNul},
      {kOk + "No colon\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "NoColon\r\n\r\n", kHttpHeaderInvalid},
      {kOk + ": no name\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "Na me: blank\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "N\xc3\xa4me: not ASCII\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "(name): y\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "X: a\x02z\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "X: a\x7fz\r\n\r\n", kHttpHeaderInvalid},
      {kOk + "Name : blank before colon\r\n\r\n", kHttpSpaceBeforeColon},
      {kOk + "Content-Length\t: 5\r\n\r\n", kHttpSpaceBeforeColon},
      {kOk + "X: y\r\n folded\r\n\r\n", kHttpHeaderFolded},
      {kOk + "X:\r\n\tfolded\r\n\r\n", kHttpHeaderFolded},
      {kOk + " X: leading blank\r\n\r\n", kHttpHeaderFolded},
      {kOk + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", kHttpContentLengthConflict},
      {kOk + "Content-Length: 5, 6\r\n\r\n", kHttpContentLengthConflict},
      {kOk + "Content-Length: 5, 5, 6\r\n\r\n", kHttpContentLengthConflict},
      {kOk + "Content-Length: -1\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: +1\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 0x1\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: a\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 1.0\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 1;x\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: \r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 5,\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 1 2\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 18446744073709551616\r\n\r\n", kHttpContentLengthInvalid},
      {"HTTP/1.1 304 N\r\nContent-Length: x\r\n\r\n", kHttpContentLengthInvalid},
      {kOk + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", kHttpFramingConflict},
      {kOk + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", kHttpFramingConflict},
      {kOk + "Transfer-Encoding: gzip\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: gzip, chunked\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: chunked, gzip\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: chunked, chunked\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: identity\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: \"chunked\"\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding: chunked;q=1\r\n\r\n", kHttpTransferCodingInvalid},
      {kOk + "Transfer-Encoding:\r\n\r\n", kHttpTransferCodingInvalid},
      {"HTTP/1.1 204 N\r\n" + te, kHttpTransferCodingInvalid},
      {"HTTP/1.1 100 C\r\n" + te, kHttpTransferCodingInvalid},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", kHttp10TransferCoding},
      {kOk + te + "\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "g\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "-1\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "+1\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "0x5\r\nhello\r\n", kHttpChunkSizeInvalid},
      {kOk + te + " 5\r\nhello\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "5 \r\nhello\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "5 5\r\nhello\r\n", kHttpChunkSizeInvalid},
      {kOk + te + ";x\r\nhello\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "10000000000000000\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "fffffffffffffffff\r\n", kHttpChunkSizeInvalid},
      {kOk + te + "5\r\nhello!\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5\r\nhelloXX0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5\r\nhello\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5;=\r\nhello\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5;a=\r\nhello\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5;a=\"b\r\nhello\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "5;a\rb\r\nhello\r\n0\r\n\r\n", kHttpChunkInvalid},
      {kOk + te + "0\r\nbad trailer\r\n\r\n", kHttpHeaderInvalid},
      {kOk + te + "0\r\nX: y\r\n folded\r\n\r\n", kHttpHeaderFolded},
      {kOk + te + "0\r\nX: y\rz\r\n\r\n", kHttpBareCr},
      {kOk + te + "0\r\nContent-Length: 5\r\n\r\n", kHttpTrailerInvalid},
      {kOk + te + "0\r\nTransfer-Encoding: chunked\r\n\r\n", kHttpTrailerInvalid},
  };
  for (const auto& [text, code] : rows) {
    ExpectCode(text, code, {});
    if (HasFailure()) FAIL() << text;
  }
}

TEST(ResponseCodec, WhatIsOddAndAllowed) {
  const std::string rows[] = {
      "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 \xe4\t\r\nContent-Length: 0\r\n\r\n",
      kOk + "Content-Length:\t007 \r\n\r\n",
      kOk + "Content-Length: 7 , 7\r\nContent-Length: 07\r\n\r\n",
      kOk + "X:y\r\nZ:\r\nContent-Length:0\r\n\r\n",
      kOk + "Transfer-Encoding:\tCHUNKED \r\n\r\n0a ; a ; b = \"\\\"\xe4\" ;c=d\r\n0123456789\r\n00\r\n\r\n",
      "HTTP/1.1 199 C\r\nContent-Length: 7\r\n\r\n" + kOk + "\r\n",
  };
  for (const std::string& text : rows) ExpectCode(text, std::nullopt, {});
}

TEST(ResponseCodec, StatusesFrom200To599AreFinal) {
  for (int status = 200; status <= 599; ++status) {
    Parsed p = FeedWhole("HTTP/1.1 " + std::to_string(status) + " X\r\n\r\n");
    EXPECT_EQ(p.status, status);
  }
}

TEST(ResponseCodec, StatusLineLimit) {
  HttpLimits limits{.max_status_line_bytes = 100};
  ExpectCode("HTTP/1.1 200 " + std::string(85, 'x') + "\r\n\r\n", std::nullopt, limits);
  std::string endless = "HTTP/1.1 200 " + std::string(200, 'x');
  ExpectCode(endless, FailureCode::kHttpResponseHeaderSectionSize, limits);
}

TEST(ResponseCodec, HeadLimitIsExact) {
  HttpLimits limits{.max_head_bytes = 200};
  auto head_of = [](size_t size) {
    std::string head = kOk + "X: ";
    return head + std::string(size - head.size() - 4, 'x') + "\r\n\r\n";
  };
  ExpectCode(head_of(200), std::nullopt, limits);
  ExpectCode(head_of(201), FailureCode::kHttpResponseHeaderSectionSize, limits);
  ExpectCode(head_of(5000), FailureCode::kHttpResponseHeaderSectionSize, limits);
  ExpectCode(kOk + "X: " + std::string(5000, 'x'), FailureCode::kHttpResponseHeaderSectionSize, limits);
}

TEST(ResponseCodec, EachHeadHasTheLimitForItself) {
  HttpLimits limits{.max_head_bytes = 100};
  std::string text;
  for (int i = 0; i < 5; ++i) text += "HTTP/1.1 103 Hints\r\nLink: " + std::string(50, 'x') + "\r\n\r\n";
  ExpectCode(text + kOk + "\r\n", std::nullopt, limits);
}

TEST(ResponseCodec, FieldSizeAndCountLimits) {
  HttpLimits limits{.max_header_count = 3, .max_field_bytes = 20};
  ExpectCode(kOk + "abcdefghij: 0123456789\r\n\r\n", std::nullopt, limits);
  ExpectCode(kOk + "abcdefghij: 0123456789x\r\n\r\n", FailureCode::kHttpResponseHeaderSize, limits);
  ExpectCode(kOk + "a: b\r\na: b\r\na: b\r\n\r\n", std::nullopt, limits);
  ExpectCode(kOk + "a: b\r\na: b\r\na: b\r\na: b\r\n\r\n", FailureCode::kHttpResponseHeaderSize, limits);
}

TEST(ResponseCodec, InterimLimit) {
  std::string interim = "HTTP/1.1 100 Continue\r\n\r\n", text;
  for (int i = 0; i < 16; ++i) text += interim;
  ExpectCode(text + kOk + "\r\n", std::nullopt, {});
  ExpectCode(text + interim, FailureCode::kHttpTooManyInterimResponses, {});
}

TEST(ResponseCodec, ChunkHeaderLimit) {
  HttpLimits limits{.max_chunk_header_bytes = 50};
  std::string head = kOk + "Transfer-Encoding: chunked\r\n\r\n";
  ExpectCode(head + "5;" + std::string(48, 'x') + "\r\nhello\r\n0\r\n\r\n", std::nullopt, limits);
  ExpectCode(head + "5;" + std::string(49, 'x') + "\r\nhello\r\n0\r\n\r\n", FailureCode::kHttpChunkInvalid, limits);
  ExpectCode(head + "5;" + std::string(200, 'x'), FailureCode::kHttpChunkInvalid, limits);
  ExpectCode(head + "5\r\nhello\r\n0;" + std::string(200, 'x'), FailureCode::kHttpChunkInvalid, limits);
}

TEST(ResponseCodec, ChunkHeadersTogetherAreLimited) {
  HttpLimits limits{.max_chunk_overhead_bytes = 100};
  std::string head = kOk + "Transfer-Encoding: chunked\r\n\r\n";
  // A header of 68 bytes (the line break after the data before it included) less 16 and less twice the one byte of
  // data: 50 to count. The first has no line break before it, so it counts 48.
  std::string chunk = "1;" + std::string(62, 'x') + "\r\na\r\n";
  ExpectCode(head + chunk + chunk + "0\r\n\r\n", std::nullopt, limits);
  ExpectCode(head + chunk + chunk + chunk + "0\r\n\r\n", FailureCode::kHttpChunkInvalid, limits);
  // Honest chunks count nothing, however many.
  std::string honest;
  for (int i = 0; i < 1000; ++i) honest += "1\r\na\r\n";
  ExpectCode(head + honest + "0\r\n\r\n", std::nullopt, limits);
}

TEST(ResponseCodec, TrailerLimit) {
  HttpLimits limits{.max_trailer_bytes = 50};
  std::string head = kOk + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
  ExpectCode(head + "a: " + std::string(45, 'x') + "\r\n\r\n", std::nullopt, limits);
  ExpectCode(head + "a: " + std::string(48, 'x') + "\r\n\r\n", FailureCode::kHttpResponseTrailerSectionSize, limits);
  ExpectCode(head + "a: " + std::string(5000, 'x'), FailureCode::kHttpResponseTrailerSectionSize, limits);
  std::string many;
  for (int i = 0; i < 300; ++i) many += "a: b\r\n";
  ExpectCode(head + many + "\r\n", FailureCode::kHttpResponseHeaderSize, {});
}

}  // namespace
}  // namespace fetchd::server
