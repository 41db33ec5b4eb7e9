#include "http/form_body.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace fetchd::server {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string Form(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) AppendFormField(name, value, out);
  return out;
}

TEST(FormBodyTest, WritesWhatUrlSearchParamsWrites) {
  // Each line as `new URLSearchParams([...]).toString()` of a browser, and `urllib.parse.urlencode` of Python but for
  // "~" and "*", has it.
  const std::pair<Fields, const char*> rows[] = {
      {{}, ""},
      {{{"a", "1"}, {"b", "2"}, {"a", "3"}}, "a=1&b=2&a=3"},
      {{{"", ""}}, "="},
      {{{"", ""}, {"", ""}}, "=&="},
      {{{"a", ""}, {"", "b"}}, "a=&=b"},
      {{{"a b", "c  d"}}, "a+b=c++d"},
      {{{"a+b", "c&d=e"}}, "a%2Bb=c%26d%3De"},
      {{{"*-._", "~!'()"}}, "*-._=%7E%21%27%28%29"},
      {{{"%41", "/?#[]@"}}, "%2541=%2F%3F%23%5B%5D%40"},
      {{{"r\xc3\xa9sum\xc3\xa9", "\xe2\x82\xac \xf0\x9f\x98\x80"}}, "r%C3%A9sum%C3%A9=%E2%82%AC+%F0%9F%98%80"},
      {{{"line", "a\r\nb\nc"}}, "line=a%0D%0Ab%0Ac"},
      {{{"nul", std::string("\0\x7f", 2)}}, "nul=%00%7F"},
  };
  for (const auto& [fields, text] : rows) EXPECT_EQ(Form(fields), text);
}

TEST(FormBodyTest, EveryByteButTheSafeOnesIsEscaped) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string encoded = Form({{std::string(1, c), ""}});
    const bool safe = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
                      c == '*' || c == '-' || c == '.' || c == '_';
    if (safe) {
      EXPECT_EQ(encoded, std::string(1, c) + "=");
    } else if (c == ' ') {
      EXPECT_EQ(encoded, "+=");
    } else {
      ASSERT_EQ(encoded.size(), 4U) << byte;
      EXPECT_EQ(std::stoi(encoded.substr(1, 2), nullptr, 16), byte);
    }
  }
}

}  // namespace
}  // namespace fetchd::server
