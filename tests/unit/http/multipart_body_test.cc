#include "http/multipart_body.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace fetchd::server {
namespace {

std::string Body(std::string_view boundary, const std::vector<BodyPart>& parts) {
  std::string out;
  for (const BodyPart& part : parts) AppendPart(boundary, out.empty(), part, out);
  AppendMultipartEnd(boundary, out);
  return out;
}

std::string Head(const BodyPart& part) {
  std::string out;
  AppendPart("B", true, part, out);
  return out;
}

TEST(MultipartBodyTest, WritesFieldsAndFiles) {
  EXPECT_EQ(Body("B", {{.name = "title", .filename = "", .content_type = "", .data = "hello"},
                       {.name = "file", .filename = "a.txt", .content_type = "text/plain", .data = "one\r\ntwo"},
                       {.name = "blob", .filename = "b.bin", .content_type = "", .data = ""},
                       {.name = "meta", .filename = "", .content_type = "application/json", .data = "{}"}}),
            "--B\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\nhello"
            "\r\n--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n"
            "content-type: text/plain\r\n\r\none\r\ntwo"
            "\r\n--B\r\ncontent-disposition: form-data; name=\"blob\"; filename=\"b.bin\"\r\n"
            "content-type: application/octet-stream\r\n\r\n"
            "\r\n--B\r\ncontent-disposition: form-data; name=\"meta\"\r\ncontent-type: application/json\r\n\r\n{}"
            "\r\n--B--\r\n");
}

TEST(MultipartBodyTest, EscapesNamesAsBrowsersDo) {
  const struct {
    const char* name;
    const char* written;
  } rows[] = {
      {"plain", "plain"},
      {"a\"b", "a%22b"},
      {"a\r\nx-evil: 1", "a%0D%0Ax-evil: 1"},
      {"a\nb\rc", "a%0Ab%0Dc"},
      // Neither percent signs nor backslashes are escaped, and UTF-8 stays as it is.
      {"100%22\\\"", "100%22\\%22"},
      {"gr\xc3\xbc\xc3\x9f\x65", "gr\xc3\xbc\xc3\x9f\x65"},
      {"a;b='c'", "a;b='c'"},
  };
  for (const auto& row : rows) {
    const std::string quoted = std::string("\"") + row.written + "\"";
    EXPECT_EQ(Head({.name = row.name, .filename = row.name, .content_type = "t", .data = ""}),
              "--B\r\ncontent-disposition: form-data; name=" + quoted + "; filename=" + quoted +
                  "\r\ncontent-type: t\r\n\r\n");
  }
}

TEST(MultipartBodyTest, TheSamePartsHaveTheSameBoundaryAndOthersAnother) {
  const std::vector<std::vector<BodyPart>> lists = {
      {},
      {{.name = "a", .filename = "", .content_type = "", .data = "b"}},
      {{.name = "ab", .filename = "", .content_type = "", .data = ""}},
      {{.name = "a", .filename = "b", .content_type = "", .data = ""}},
      {{.name = "a", .filename = "", .content_type = "b", .data = ""}},
      {{.name = "a", .filename = "", .content_type = "", .data = "b"},
       {.name = "a", .filename = "", .content_type = "", .data = "b"}},
      {{.name = "a", .filename = "", .content_type = "", .data = "c"}},
  };
  std::set<std::string> seen;
  for (const std::vector<BodyPart>& parts : lists) {
    const std::string boundary = BoundaryOf(parts);
    EXPECT_EQ(BoundaryOf(parts), boundary);
    EXPECT_TRUE(seen.insert(boundary).second) << boundary;
    // RFC 2046 section 5.1.1: at most 70 characters, and none that would have to be quoted.
    EXPECT_LE(boundary.size(), 70U);
    EXPECT_EQ(boundary.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string::npos) << boundary;
  }
}

TEST(MultipartBodyTest, DataThatHoldsTheBoundaryOfOtherDataGetsAnotherOne) {
  std::string data = "x";
  for (int i = 0; i < 20; ++i) {
    const BodyPart part{.name = "a", .filename = "", .content_type = "", .data = data};
    const std::string boundary = BoundaryOf({&part, 1});
    EXPECT_EQ(data.find(boundary), std::string::npos);
    data += "\r\n--" + boundary + "--\r\n";
  }
}

TEST(MultipartBodyTest, RandomBoundariesDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(seen.insert(RandomBoundary()).second);
  EXPECT_EQ(MultipartContentType("B"), "multipart/form-data; boundary=B");
}

}  // namespace
}  // namespace fetchd::server
