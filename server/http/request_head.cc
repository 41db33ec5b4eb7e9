#include "http/request_head.h"

#include <charconv>
#include <cstring>

#include "base/text.h"

namespace fetchd::server {
namespace {

constexpr std::string_view kUserAgentLine = "user-agent: fetchd/0.1\r\n";
constexpr std::string_view kAcceptLine = "accept: */*\r\n";
constexpr std::string_view kChunkedLine = "transfer-encoding: chunked\r\n";
constexpr std::string_view kExpectLine = "expect: 100-continue\r\n";
// "content-length: ", 20 digits, line end.
constexpr size_t kMaxLengthLine = 40;
// All that AppendRequestHead adds to what varies, but for the ": " and line end of each field.
constexpr size_t kMaxFixedBytes = 32 + kUserAgentLine.size() + kAcceptLine.size() + kMaxLengthLine + kExpectLine.size();

}  // namespace

RequestFraming RequestFraming::OfBody(const FetchSpec& spec) {
  bool expected = spec.method == "POST" || spec.method == "PUT" || spec.method == "PATCH";
  if (spec.body.empty() && !expected) return {};
  return {Kind::kLength, spec.body.size()};
}

RequestFraming RequestFraming::OfStream(std::optional<uint64_t> length) {
  if (length) return {Kind::kLength, *length};
  return {Kind::kChunked, 0};
}

bool AppendRequestHead(const FetchSpec& spec, RequestFraming framing, std::string& out) {
  // Everything that is not a literal below, each block of bytes in one go.
  if (HasLineEndOrNul(spec.method) || HasLineEndOrNul(spec.url.text()) || HasLineEndOrNul(spec.headers.text())) {
    return false;
  }
  const std::string_view target = spec.url.target(), authority = spec.url.authority();
  const size_t start = out.size();
  out.resize(start + spec.method.size() + target.size() + authority.size() + spec.headers.bytes() +
             spec.headers.size() * 4 + kMaxFixedBytes);
  // Written in place: the string has its greatest possible size and is cut at the end.
  char* at = out.data() + start;
  const auto put = [&at](std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    at += text.size();
  };
  put(spec.method);
  put(" ");
  put(target);
  put(" HTTP/1.1\r\nhost: ");
  put(authority);
  put("\r\n");
  bool user_agent = false, accept = false;
  for (HeaderView field : spec.headers) {
    put(field.name);
    put(": ");
    put(field.value);
    put("\r\n");
    user_agent = user_agent || field.name == "user-agent";
    accept = accept || field.name == "accept";
  }
  if (!user_agent) put(kUserAgentLine);
  if (!accept) put(kAcceptLine);
  if (framing.kind == RequestFraming::Kind::kLength) {
    put("content-length: ");
    at = std::to_chars(at, out.data() + out.size(), framing.length).ptr;
    put("\r\n");
  } else if (framing.kind == RequestFraming::Kind::kChunked) {
    put(kChunkedLine);
  }
  if (ExpectsContinue(spec, framing)) put(kExpectLine);
  put("\r\n");
  out.resize(static_cast<size_t>(at - out.data()));
  return true;
}

}  // namespace fetchd::server
