// How to test code that uses fetchd::Client: MockConnection in place of a connection, ranges and streams from scripts.
#include <memory>
#include <string>

#include "fetchd/client.h"
#include "fetchd/mocks/mock_connection.h"
#include "gtest/gtest.h"

namespace {

using fetchd::mocks::MakeStreamRange;
using fetchd::mocks::MockConnection;
using fetchd::mocks::ScriptedStreamCall;
using fetchd::mocks::StreamMessages;
using testing::_;
using testing::Property;
using testing::Return;

// Code under test: counts a list's items.
absl::StatusOr<int> CountItems(const fetchd::Client& client, const std::string& url) {
  fetchd::v1::FetchPagedRequest request;
  request.mutable_request()->set_url(url);
  request.mutable_link_header();
  request.set_items("");
  int count = 0;
  for (const auto& item : client.Items(request)) {
    if (!item.ok()) return item.status();
    ++count;
  }
  return count;
}

TEST(CountItems, AddsUpPages) {
  fetchd::v1::FetchPagedResponse two, one, end;
  two.mutable_items()->add_items("1");
  two.mutable_items()->add_items("2");
  one.mutable_items()->add_items("3");
  end.mutable_end()->set_reason(fetchd::v1::PagedEnd::REASON_LAST_PAGE);

  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, FetchPaged).WillOnce([&](const fetchd::v1::FetchPagedRequest& request, const auto&) {
    EXPECT_EQ(request.request().url(), "https://example.com/things");
    return MakeStreamRange<fetchd::v1::FetchPagedResponse>({two, one, end});
  });
  EXPECT_EQ(*CountItems(fetchd::Client(connection), "https://example.com/things"), 3);
}

TEST(CountItems, HandsOnWhatFetchdSays) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, FetchPaged).WillOnce([](const auto&, const auto&) {
    return MakeStreamRange<fetchd::v1::FetchPagedResponse>({}, absl::UnavailableError("draining"));
  });
  EXPECT_EQ(CountItems(fetchd::Client(connection), "https://example.com/").status().code(),
            absl::StatusCode::kUnavailable);
}

// A plain fetch: expectations on the request, a canned reply.
TEST(Client, PostsAForm) {
  auto connection = std::make_shared<MockConnection>();
  fetchd::v1::FetchResponse created;
  created.mutable_response()->set_status(201);
  EXPECT_CALL(*connection, Fetch(Property(&fetchd::v1::FetchRequest::body, "a=1"), _)).WillOnce(Return(created));
  const fetchd::Client client(connection);
  EXPECT_EQ(client.Post("https://example.com/", "a=1", "application/x-www-form-urlencoded")->response().status(), 201u);
}

// A streamed body.
TEST(Client, StreamsABody) {
  auto connection = std::make_shared<MockConnection>();
  EXPECT_CALL(*connection, FetchStream).WillOnce([](const auto&, const auto&) {
    return std::make_unique<ScriptedStreamCall>(StreamMessages(200, {"hello ", "world"}));
  });
  std::string body;
  for (const auto& piece : fetchd::Client(connection).Stream({})) body += *piece;
  EXPECT_EQ(body, "hello world");
}

}  // namespace
