#include "model/content_coding.h"

#include <gtest/gtest.h>

namespace fetchd::server {
namespace {

using Verdict = CodingsFound::Verdict;

CodingsFound Find(std::initializer_list<std::string_view> values) {
  Headers headers;
  headers.Add("content-type", "text/plain");
  for (const std::string_view value : values) headers.Add("Content-Encoding", value);
  return FindCodings(headers);
}

std::string Names(const CodingsFound& found) {
  std::string names;
  for (const ContentCoding coding : found.list) names += std::string(ToString(coding)) + " ";
  return names;
}

TEST(FindCodings, InTheOrderInWhichTheyWereApplied) {
  const struct {
    std::initializer_list<std::string_view> values;
    Verdict verdict;
    std::string_view names;
  } rows[] = {
      {{}, Verdict::kNone, ""},
      {{""}, Verdict::kNone, ""},
      {{"identity"}, Verdict::kNone, ""},
      {{" , ,identity,"}, Verdict::kNone, ""},
      {{"gzip"}, Verdict::kKnown, "gzip "},
      {{"X-GZip"}, Verdict::kKnown, "gzip "},
      {{"deflate"}, Verdict::kKnown, "deflate "},
      {{"BR"}, Verdict::kKnown, "br "},
      {{"zstd"}, Verdict::kKnown, "zstd "},
      {{"gzip,br"}, Verdict::kKnown, "gzip br "},
      {{"gzip \t,\t identity , br"}, Verdict::kKnown, "gzip br "},
      {{"gzip", "br, zstd"}, Verdict::kKnown, "gzip br zstd "},
      {{"gzip", "br, zstd", "deflate"}, Verdict::kTooMany, ""},
      {{"gzip, gzip, identity, gzip"}, Verdict::kKnown, "gzip gzip gzip "},
      {{"gzip, gzip, gzip, gzip"}, Verdict::kTooMany, ""},
      {{"compress"}, Verdict::kUnknown, ""},
      {{"aws-chunked, gzip"}, Verdict::kUnknown, ""},
      {{"gzip", "gzip", "gzip", "gzip", "dcb"}, Verdict::kUnknown, ""},
      {{"gzip;q=1"}, Verdict::kUnknown, ""},
      {{"gzip br"}, Verdict::kUnknown, ""},
  };
  for (const auto& row : rows) {
    const CodingsFound found = Find(row.values);
    EXPECT_EQ(found.verdict, row.verdict) << (row.values.size() > 0 ? *row.values.begin() : "");
    EXPECT_EQ(Names(found), row.names);
  }
}

}  // namespace
}  // namespace fetchd::server
