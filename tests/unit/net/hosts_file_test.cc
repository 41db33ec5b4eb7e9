#include "net/hosts_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "support/certificates.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(HostsFile, KnowsItsNames) {
  HostsFile file = HostsFile::Parse(
      "# comment\n"
      "127.0.0.1\tlocalhost\n"
      "192.0.2.1  API.example api  # trailing\r\n"
      "2001:db8::1 api\n"
      "192.0.2.1 api\n"
      "fe80::1%eth0 zoned\n"
      "nonsense here\n"
      "192.0.2.9\n"
      "\n"
      "  192.0.2.3 last");
  auto v4 = [](uint8_t last) { return IpAddress::V4({192, 0, 2, last}); };
  EXPECT_THAT(file.Find("api.example"), ElementsAre(v4(1)));
  EXPECT_THAT(file.Find("api"), ElementsAre(v4(1), *IpAddress::Parse("2001:db8::1")));
  EXPECT_THAT(file.Find("last"), ElementsAre(v4(3)));
  EXPECT_THAT(file.Find("zoned"), IsEmpty());
  EXPECT_THAT(file.Find("here"), IsEmpty());
  EXPECT_THAT(file.Find("trailing"), IsEmpty());
}

TEST(HostsFile, AMissingFileIsEmpty) { EXPECT_THAT(HostsFile::Read("/nonexistent/hosts").Find("a"), IsEmpty()); }

TEST(HostsFile, ReadsAFile) {
  TemporaryFile file("192.0.2.7 seven\n");
  EXPECT_THAT(HostsFile::Read(file.path()).Find("seven"), ElementsAre(IpAddress::V4({192, 0, 2, 7})));
}

}  // namespace
}  // namespace fetchd::server
