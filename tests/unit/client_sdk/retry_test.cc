#include "fetchd/retry.h"

#include <string>

#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

TEST(IsIdempotent, GoesByMethodHeaderOrWord) {
  struct Row {
    const char* method;
    const char* header;
    bool word;
    bool expected;
  };
  for (const Row& row : {
           Row{"", "", false, true},
           Row{"GET", "", false, true},
           Row{"HEAD", "", false, true},
           Row{"PUT", "", false, true},
           Row{"DELETE", "", false, true},
           Row{"OPTIONS", "", false, true},
           Row{"QUERY", "", false, true},
           Row{"PROPFIND", "", false, true},
           Row{"POST", "", false, false},
           Row{"PATCH", "", false, false},
           // Methods are case-sensitive: this is another one.
           Row{"get", "", false, false},
           Row{"POST", "content-type", false, false},
           Row{"POST", "Idempotency-Key", false, true},
           Row{"POST", "", true, true},
       }) {
    v1::FetchRequest request;
    request.set_method(row.method);
    if (*row.header != '\0') request.add_headers()->set_name(row.header);
    request.mutable_retry()->set_idempotent(row.word);
    EXPECT_EQ(IsIdempotent(request), row.expected) << row.method << " " << row.header;
  }
}

TEST(IsIdempotent, ABodyThatSaysWhatItIsIsPosted) {
  v1::FetchRequest form, json, multipart, bytes;
  form.add_form()->set_name("a");
  json.set_json("1");
  multipart.mutable_multipart();
  bytes.set_body("x");
  for (v1::FetchRequest* request : {&form, &json, &multipart}) {
    EXPECT_FALSE(IsIdempotent(*request)) << request->ShortDebugString();
    request->set_method("PUT");
    EXPECT_TRUE(IsIdempotent(*request)) << request->ShortDebugString();
  }
  EXPECT_TRUE(IsIdempotent(bytes));
}

TEST(RetryServiceConfig, RetriesOnlyUnavailable) {
  const std::string config = RetryServiceConfig(
      {.max_attempts = 3, .initial_backoff = absl::Milliseconds(1500), .max_backoff = absl::Seconds(4)});
  google::protobuf::Struct parsed;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(config, &parsed).ok()) << config;
  EXPECT_NE(config.find(R"("maxAttempts":3)"), std::string::npos);
  EXPECT_NE(config.find(R"("initialBackoff":"1.500000000s")"), std::string::npos);
  EXPECT_NE(config.find(R"("maxBackoff":"4.000000000s")"), std::string::npos);
  EXPECT_NE(config.find(R"("retryableStatusCodes":["UNAVAILABLE"])"), std::string::npos);
}

TEST(RetryServiceConfig, OneAttemptMeansNoPolicy) { EXPECT_EQ(RetryServiceConfig({.max_attempts = 1}), "{}"); }

TEST(RetryServiceConfig, AttemptsAreLoweredToTheCapOfGrpc) {
  EXPECT_NE(RetryServiceConfig({.max_attempts = 50}).find(R"("maxAttempts":5)"), std::string::npos);
}

}  // namespace
}  // namespace fetchd
