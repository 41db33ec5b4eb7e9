// The fields of a request in HTTP/2.
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "http/request_head.h"
#include "model/request.h"

namespace fetchd::server {

// The request's head as nghttp2 wants it. Views into the spec, which outlives it.
class RequestFields {
 public:
  RequestFields(const FetchSpec& spec, RequestFraming framing);
  RequestFields(const RequestFields&) = delete;
  RequestFields& operator=(const RequestFields&) = delete;

  std::span<const nghttp2_nv> fields() const { return fields_; }

 private:
  // What is secret is not put into the compression table (RFC 7541 section 7.1.3).
  void Add(std::string_view name, std::string_view value, bool sensitive = false);

  std::vector<nghttp2_nv> fields_;
  std::array<char, 20> length_{};
};

}  // namespace fetchd::server
