#include <gtest/gtest.h>

#include <string>

#include "fetch/digest_sink.h"

namespace fetchd::server {
namespace {

const std::string k256 = "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=";
const std::string k512 = "z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";

TEST(ReadDigestField, TakesTheAlgorithmsItKnows) {
  const struct {
    std::string value;
    std::vector<DigestAlgorithm> algorithms;
  } rows[] = {
      {"", {}},
      {"md5=:AAAA:", {}},
      {"md5", {}},
      {"SHA-256=:" + k256 + ":", {}},
      {"sha-256=:" + k256 + ":", {DigestAlgorithm::kSha256}},
      {"sha-512=:" + k512 + ":", {DigestAlgorithm::kSha512}},
      {"sha-256=:" + k256 + ":;a=b", {DigestAlgorithm::kSha256}},
      {"  sha-256=:" + k256 + ":\t,\tmd5=:AA==:, sha-512=:" + k512 + ": ",
       {DigestAlgorithm::kSha256, DigestAlgorithm::kSha512}},
  };
  for (const auto& row : rows) {
    std::vector<WantedDigest> wanted;
    EXPECT_TRUE(ReadDigestField(row.value, "repr-digest", wanted)) << row.value;
    ASSERT_EQ(wanted.size(), row.algorithms.size()) << row.value;
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_EQ(wanted[i].algorithm, row.algorithms[i]);
      EXPECT_EQ(wanted[i].bytes.size(), wanted[i].algorithm == DigestAlgorithm::kSha256 ? 32u : 64u);
      EXPECT_EQ(wanted[i].source, "repr-digest");
    }
  }
}

TEST(ReadDigestField, RefusesMalformedOnes) {
  for (const std::string& value :
       {std::string("sha-256"), std::string("sha-256="), std::string("sha-256=::"), std::string("sha-256=:"),
        "sha-256=" + k256, "sha-256=:" + k256, "sha-256=:" + k512 + ":", "sha-512=:" + k256 + ":",
        std::string("sha-256=:@@@@:"), "md5=:AAAA:, sha-256=\"" + k256 + "\""}) {
    std::vector<WantedDigest> wanted;
    EXPECT_FALSE(ReadDigestField(value, "repr-digest", wanted)) << value;
  }
}

}  // namespace
}  // namespace fetchd::server
