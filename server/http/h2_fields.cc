#include "http/h2_fields.h"

#include <charconv>

#include "model/content_coding.h"

namespace fetchd::server {
namespace {

// Fields that belong to a connection (RFC 9113 section 8.2.2), and host, which :authority stands for.
bool BelongsToConnection(HeaderView field) {
  return field.name == "connection" || field.name == "host" || field.name == "keep-alive" ||
         field.name == "proxy-connection" || field.name == "transfer-encoding" || field.name == "upgrade" ||
         (field.name == "te" && field.value != "trailers");
}

}  // namespace

RequestFields::RequestFields(const FetchSpec& spec, RequestFraming framing) {
  fields_.reserve(spec.headers.size() + 9);
  Add(":method", spec.method);
  Add(":scheme", spec.url.scheme() == Scheme::kHttps ? "https" : "http");
  Add(":authority", spec.url.authority());
  Add(":path", spec.url.target());
  bool user_agent = false, accept = false;
  for (HeaderView field : spec.headers) {
    if (BelongsToConnection(field)) continue;
    Add(field.name, field.value, field.sensitive);
    user_agent = user_agent || field.name == "user-agent";
    accept = accept || field.name == "accept";
  }
  if (!user_agent) Add("user-agent", kUserAgent);
  if (!accept) Add("accept", "*/*");
  if (spec.decoding == Decoding::kAskAndDecode) Add("accept-encoding", kAcceptedCodings);
  if (ExpectsContinue(spec, framing)) Add("expect", "100-continue");
  if (framing.kind == RequestFraming::Kind::kLength) {
    const char* end = std::to_chars(length_.data(), length_.data() + length_.size(), framing.length).ptr;
    Add("content-length", {length_.data(), static_cast<size_t>(end - length_.data())});
  }
}

void RequestFields::Add(std::string_view name, std::string_view value, bool sensitive) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 does not write there
  };
  fields_.push_back({bytes(name), bytes(value), name.size(), value.size(),
                     static_cast<uint8_t>(sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE)});
}

}  // namespace fetchd::server
