// A test of code that fetches, without a server.
#include <memory>

#include "fetchd/client.h"
#include "fetchd/mocks/mock_connection.h"
#include "gtest/gtest.h"

namespace {

// The code under test.
bool IsUp(const fetchd::Client& client) {
  const auto reply = client.Get("https://example.com/health");
  return reply.ok() && reply->response().status() == 200;
}

TEST(IsUp, TakesOnly200ForUp) {
  auto connection = std::make_shared<fetchd::mocks::MockConnection>();
  fetchd::v1::FetchResponse up;
  up.mutable_response()->set_status(200);
  EXPECT_CALL(*connection, Fetch)
      .WillOnce(testing::Return(up))
      .WillOnce(testing::Return(absl::UnavailableError("draining")));
  EXPECT_TRUE(IsUp(fetchd::Client(connection)));
  EXPECT_FALSE(IsUp(fetchd::Client(connection)));
}

}  // namespace
