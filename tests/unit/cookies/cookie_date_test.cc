#include "cookies/cookie_date.h"

#include <gtest/gtest.h>

#include <string>

namespace fetchd::server {
namespace {

// Seconds since 1970, or -1 if it is no date.
int64_t Seconds(std::string_view text) {
  const std::optional<WallTime> date = ParseCookieDate(text);
  if (!date) return -1;
  return std::chrono::duration_cast<std::chrono::seconds>(date->time_since_epoch()).count();
}

// https://www.rfc-editor.org/rfc/rfc6265#section-5.1.1 and what servers send.
TEST(CookieDate, IsFoundInAnyOrder) {
  constexpr int64_t kInstant = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  for (const char* text :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
        "06 Nov 1994 08:49:37", "08:49:37 06 nov 94", "NOVEMBER/6/1994 8:49:37", "1994;6;Nov;08:49:37x",
        "6th Nov 1994 08:49:37.123", "Sun, 06 Nov 1994 08:49:37 -0800", "\t6\tNovember\t1994\t08:49:37\t"}) {
    EXPECT_EQ(Seconds(text), kInstant) << text;
  }
}

TEST(CookieDate, Boundaries) {
  const std::pair<const char*, int64_t> rows[] = {{"01 Jan 1970 00:00:00", 0},
                                                  {"01 Jan 70 00:00:01", 1},
                                                  {"01 Jan 69 00:00:00", 3124224000},
                                                  {"31 Dec 99 23:59:59", 946684799},
                                                  {"01 Jan 00 00:00:00", 946684800},
                                                  {"29 Feb 2024 00:00:00", 1709164800},
                                                  {"29 Feb 2023 00:00:00", -1},
                                                  {"31 Apr 2023 00:00:00", -1},
                                                  {"00 Jan 2023 00:00:00", -1},
                                                  {"32 Jan 2023 00:00:00", -1},
                                                  {"01 Jan 2023 23:59:59", 1672617599},
                                                  {"01 Jan 2023 24:00:00", -1},
                                                  {"01 Jan 2023 00:60:00", -1},
                                                  {"01 Jan 2023 00:00:60", -1},
                                                  {"01 Jan 1600 00:00:00", -1},
                                                  // Beyond what the clock can hold: the last and the first it can.
                                                  {"01 Jan 9999 00:00:00", 9000000000},
                                                  {"01 Jan 1601 00:00:00", -9000000000}};
  for (const auto& [text, seconds] : rows) EXPECT_EQ(Seconds(text), seconds) << text;
}

TEST(CookieDate, WhatIsNone) {
  for (const char* text : {"", "GMT", "Sun, 06 Nov 1994", "06 Nov 1994 08:49", "06 1994 08:49:37", "Nov 1994 08:49:37",
                           "06 Nov 08:49:37", "06 Nov 19945 08:49:37", "06 Nov 1 08:49:37", "006 Nov 1994 08:49:37",
                           "06 Nov 1994 008:49:37", "06 No 1994 08:49:37"}) {
    EXPECT_EQ(Seconds(text), -1) << text;
  }
}

}  // namespace
}  // namespace fetchd::server
