#include "http/request_head.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fetchd::server {

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
  const size_t start = out.size();
  out.reserve(start + spec.method.size() + spec.url.target().size() + spec.url.authority().size() +
              spec.headers.bytes() + spec.headers.size() * 4 + 128);
  out.append(spec.method).append(" ").append(spec.url.target());
  out.append(" HTTP/1.1\r\nhost: ").append(spec.url.authority()).append("\r\n");
  ptrdiff_t lines = 2;
  bool user_agent = false, accept = false;
  for (HeaderView field : spec.headers) {
    out.append(field.name).append(": ").append(field.value).append("\r\n");
    ++lines;
    user_agent = user_agent || field.name == "user-agent";
    accept = accept || field.name == "accept";
  }
  if (!user_agent) {
    out.append("user-agent: fetchd/0.1\r\n");
    ++lines;
  }
  if (!accept) {
    out.append("accept: */*\r\n");
    ++lines;
  }
  if (framing.kind == RequestFraming::Kind::kLength) {
    absl::StrAppend(&out, "content-length: ", framing.length, "\r\n");
    ++lines;
  } else if (framing.kind == RequestFraming::Kind::kChunked) {
    out.append("transfer-encoding: chunked\r\n");
    ++lines;
  }
  out.append("\r\n");
  ++lines;
  auto from = out.begin() + static_cast<ptrdiff_t>(start);
  return std::count(from, out.end(), '\n') == lines && std::count(from, out.end(), '\r') == lines &&
         std::count(from, out.end(), '\0') == 0;
}

}  // namespace fetchd::server
