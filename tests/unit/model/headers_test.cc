#include "model/headers.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fetchd::server {
namespace {

std::string Text(const Headers& headers) {
  std::string out;
  for (HeaderView field : headers) {
    out.append(field.name).append(field.sensitive ? "!" : ":").append(field.value).append(";");
  }
  return out;
}

TEST(Headers, KeepOrderAndRepetitionAndLowerNames) {
  Headers headers;
  headers.Add("X-One", "a");
  headers.Add("Set-Cookie", "b");
  headers.Add("x-one", std::string_view("\0\xff", 2));
  EXPECT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[0].name, "x-one");
  EXPECT_EQ(headers[2].value, std::string_view("\0\xff", 2));
  EXPECT_EQ(headers.bytes(), 5u + 1 + 10 + 1 + 5 + 2);
  EXPECT_EQ(headers.Find("x-one"), "a");
  EXPECT_EQ(headers.Find("none"), std::nullopt);
}

TEST(Headers, SecretNamesAreSensitiveWithoutBeingMarked) {
  Headers headers;
  for (const char* name : {"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-API-Key"}) {
    headers.Add(name, "v");
    EXPECT_TRUE(headers[headers.size() - 1].sensitive) << name;
  }
  headers.Add("accept", "v");
  headers.Add("x-mine", "v", true);
  EXPECT_FALSE(headers[5].sensitive);
  EXPECT_TRUE(headers[6].sensitive);
}

TEST(Headers, RemoveTakesEveryFieldOfTheName) {
  Headers headers;
  headers.Add("a", "1");
  headers.Add("b", "2", true);
  headers.Add("a", "3");
  headers.Remove("a");
  EXPECT_EQ(Text(headers), "b!2;");
  headers.Remove("none");
  EXPECT_EQ(Text(headers), "b!2;");
  headers.Clear();
  EXPECT_TRUE(headers.empty());
}

}  // namespace
}  // namespace fetchd::server
