#include "fetchd/client.h"

#include <memory>
#include <string>
#include <vector>

#include "fetchd/mocks/mock_connection.h"
#include "gtest/gtest.h"

namespace fetchd {
namespace {

using mocks::MakeStreamRange;
using mocks::MockConnection;
using testing::Return;

class ClientTest : public testing::Test {
 protected:
  std::shared_ptr<MockConnection> connection_ = std::make_shared<MockConnection>();
  Client client_{connection_};
};

v1::FetchBatchResponse Results(std::vector<uint32_t> indices) {
  v1::FetchBatchResponse message;
  for (const uint32_t index : indices) message.add_results()->set_index(index);
  return message;
}

v1::FetchPagedResponse ItemsMessage(std::vector<std::string> items, const std::string& token) {
  v1::FetchPagedResponse message;
  message.mutable_items();
  for (const std::string& item : items) message.mutable_items()->add_items(item);
  message.set_resume_token(token);
  return message;
}

v1::FetchPagedResponse PageMessage(uint64_t number, const std::string& token) {
  v1::FetchPagedResponse message;
  message.mutable_page()->set_number(number);
  message.set_resume_token(token);
  return message;
}

v1::FetchPagedResponse EndMessage(v1::PagedEnd::Reason reason, const std::string& token) {
  v1::FetchPagedResponse message;
  message.mutable_end()->set_reason(reason);
  message.set_resume_token(token);
  return message;
}

TEST_F(ClientTest, GetSendsJustTheUrl) {
  EXPECT_CALL(*connection_, Fetch).WillOnce([](const v1::FetchRequest& request, const CallOptions& options) {
    v1::FetchRequest expected;
    expected.set_url("https://example.com/");
    EXPECT_EQ(request.SerializeAsString(), expected.SerializeAsString());
    EXPECT_EQ(options.deadline, absl::Seconds(3));
    return v1::FetchResponse();
  });
  EXPECT_TRUE(client_.Get("https://example.com/", {.deadline = absl::Seconds(3)}).ok());
}

TEST_F(ClientTest, PostSendsBodyAndType) {
  EXPECT_CALL(*connection_, Fetch).WillOnce([](const v1::FetchRequest& request, const CallOptions&) {
    EXPECT_EQ(request.method(), "POST");
    EXPECT_EQ(request.body(), "{}");
    EXPECT_EQ(request.headers(0).name(), "content-type");
    EXPECT_EQ(request.headers(0).value(), "application/json");
    return v1::FetchResponse();
  });
  EXPECT_TRUE(client_.Post("https://example.com/", "{}", "application/json").ok());
}

TEST_F(ClientTest, CopiesShareTheConnection) {
  EXPECT_CALL(*connection_, CheckHealth).Times(2).WillRepeatedly(Return(absl::OkStatus()));
  const Client copy = client_;
  EXPECT_TRUE(copy.CheckHealth().ok());
  EXPECT_TRUE(client_.CheckHealth().ok());
}

TEST_F(ClientTest, OriginsAreAskedForPageByPageUntilAnErrorOrTheEnd) {
  EXPECT_CALL(*connection_, ListOrigins)
      .WillOnce([](const v1::ListOriginsRequest& request, const auto&) {
        EXPECT_EQ(request.host_contains(), "test");
        EXPECT_EQ(request.page_token(), "");
        v1::ListOriginsResponse page;
        page.add_origins()->set_name("a");
        page.add_origins()->set_name("b");
        page.set_next_page_token("t1");
        return page;
      })
      .WillOnce([](const v1::ListOriginsRequest& request, const auto&) {
        EXPECT_EQ(request.page_token(), "t1");
        v1::ListOriginsResponse empty;
        empty.set_next_page_token("t2");
        return empty;
      })
      .WillOnce(Return(absl::UnavailableError("draining")));
  std::vector<std::string> names;
  absl::Status status;
  for (const absl::StatusOr<v1::Origin>& origin : client_.Origins("test")) {
    status = origin.status();
    if (origin.ok()) names.push_back(origin->name());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(status, absl::UnavailableError("draining"));
}

TEST_F(ClientTest, GetOriginGivesTheOriginAlone) {
  EXPECT_CALL(*connection_, GetOrigin)
      .WillOnce([](const v1::GetOriginRequest& request, const auto&) {
        v1::GetOriginResponse response;
        response.mutable_origin()->set_name(request.name());
        return response;
      })
      .WillOnce(Return(absl::NotFoundError("no such origin")));
  EXPECT_EQ(client_.GetOrigin("https://a.test")->name(), "https://a.test");
  EXPECT_EQ(client_.GetOrigin("https://a.test").status(), absl::NotFoundError("no such origin"));
}

TEST_F(ClientTest, ItemsKnowTheTraceOfTheirPage) {
  EXPECT_CALL(*connection_, FetchPaged).WillOnce([](const auto&, const auto&) {
    std::vector<v1::FetchPagedResponse> messages(4);
    messages[0].mutable_items()->add_items("1");
    messages[0].mutable_trace()->add_attempts()->set_status(200);
    messages[1].mutable_items()->add_items("2");
    messages[2].mutable_items()->add_items("3");
    messages[2].mutable_trace()->add_attempts()->set_status(201);
    messages[3].mutable_end();
    return MakeStreamRange<v1::FetchPagedResponse>(std::move(messages));
  });
  ItemRange range = client_.Items({});
  EXPECT_EQ(range.traces(), 0u);
  std::vector<uint32_t> seen;
  for (const auto& item : range) {
    EXPECT_TRUE(item.ok());
    seen.push_back(range.trace().attempts(0).status());
  }
  EXPECT_EQ(seen, (std::vector<uint32_t>{200, 200, 201}));
  EXPECT_EQ(range.traces(), 2u);
}

TEST_F(ClientTest, BatchTakesMessagesApart) {
  EXPECT_CALL(*connection_, FetchBatch).WillOnce([](const auto&, const auto&) {
    return MakeStreamRange<v1::FetchBatchResponse>({Results({2, 0}), Results({}), Results({1})});
  });
  std::vector<uint32_t> seen;
  for (const auto& result : client_.Batch({})) seen.push_back(result->index());
  EXPECT_EQ(seen, (std::vector<uint32_t>{2, 0, 1}));
}

TEST_F(ClientTest, BatchEndsWithTheStatusOfTheRpc) {
  EXPECT_CALL(*connection_, FetchBatch).WillOnce([](const auto&, const auto&) {
    return MakeStreamRange<v1::FetchBatchResponse>({Results({0})}, absl::UnavailableError("draining"));
  });
  auto range = client_.Batch({});
  EXPECT_TRUE(range.Next()->ok());
  EXPECT_EQ(range.Next()->status(), absl::UnavailableError("draining"));
  EXPECT_EQ(range.Next(), std::nullopt);
}

TEST_F(ClientTest, ItemsTokenMovesOnceAMessageIsTaken) {
  EXPECT_CALL(*connection_, FetchPaged).WillOnce([](const v1::FetchPagedRequest& request, const auto&) {
    EXPECT_EQ(request.unit(), v1::FetchPagedRequest::UNIT_ITEM);
    return MakeStreamRange<v1::FetchPagedResponse>({ItemsMessage({"1", "2"}, "after-2"),
                                                    ItemsMessage({}, "after-empty"), ItemsMessage({"3"}, "after-3"),
                                                    EndMessage(v1::PagedEnd::REASON_LAST_PAGE, "")});
  });
  v1::FetchPagedRequest request;
  request.set_resume_token("start");
  ItemRange items = client_.Items(request);
  EXPECT_EQ(items.resume_token(), "start");

  EXPECT_EQ(**items.Next(), "1");
  EXPECT_EQ(items.resume_token(), "start");
  EXPECT_EQ(items.taken_since_token(), 1u);
  EXPECT_EQ(**items.Next(), "2");
  EXPECT_EQ(items.resume_token(), "after-2");
  EXPECT_EQ(items.taken_since_token(), 0u);
  EXPECT_EQ(**items.Next(), "3");
  EXPECT_EQ(items.resume_token(), "after-3");
  EXPECT_FALSE(items.end_of_list().has_value());

  EXPECT_EQ(items.Next(), std::nullopt);
  EXPECT_EQ(items.end_of_list()->reason(), v1::PagedEnd::REASON_LAST_PAGE);
  EXPECT_EQ(items.resume_token(), "");
}

TEST_F(ClientTest, PagesComeWholeAndKeepTheTokenWhenTheRpcFails) {
  EXPECT_CALL(*connection_, FetchPaged).WillOnce([](const v1::FetchPagedRequest& request, const auto&) {
    EXPECT_EQ(request.unit(), v1::FetchPagedRequest::UNIT_PAGE);
    return MakeStreamRange<v1::FetchPagedResponse>({PageMessage(1, "after-1"), PageMessage(2, "after-2")},
                                                   absl::UnavailableError("broke"));
  });
  PageRange pages = client_.Pages({});
  EXPECT_EQ((*pages.Next())->number(), 1u);
  EXPECT_EQ(pages.resume_token(), "after-1");
  EXPECT_EQ((*pages.Next())->number(), 2u);
  EXPECT_EQ(pages.Next()->status(), absl::UnavailableError("broke"));
  EXPECT_EQ(pages.resume_token(), "after-2");
  EXPECT_FALSE(pages.end_of_list().has_value());
}

TEST_F(ClientTest, FailedPageEndsTheListWithItsErrorAndToken) {
  v1::FetchPagedResponse end = EndMessage(v1::PagedEnd::REASON_ERROR, "page-2-again");
  end.mutable_end()->mutable_error()->set_code(v1::PAGE_STATUS);
  EXPECT_CALL(*connection_, FetchPaged).WillOnce([&](const auto&, const auto&) {
    return MakeStreamRange<v1::FetchPagedResponse>({PageMessage(1, "after-1"), end});
  });
  PageRange pages = client_.Pages({});
  EXPECT_TRUE(pages.Next()->ok());
  EXPECT_EQ(pages.Next(), std::nullopt);
  EXPECT_EQ(pages.end_of_list()->error().code(), v1::PAGE_STATUS);
  EXPECT_EQ(pages.resume_token(), "page-2-again");
}

TEST_F(ClientTest, ListWithoutAnEndIsAFaultOfFetchd) {
  EXPECT_CALL(*connection_, FetchPaged).WillOnce([](const auto&, const auto&) {
    return MakeStreamRange<v1::FetchPagedResponse>({});
  });
  ItemRange items = client_.Items({});
  EXPECT_EQ(items.Next()->status().code(), absl::StatusCode::kInternal);
}

TEST_F(ClientTest, UploadAnnouncesItsLength) {
  EXPECT_CALL(*connection_, FetchStream).WillOnce([](const v1::FetchStreamStart& start, const auto&) {
    EXPECT_TRUE(start.streams_body());
    EXPECT_EQ(start.body_length(), 3u);
    EXPECT_EQ(start.request().url(), "http://example.com/");
    return std::make_unique<mocks::ScriptedStreamCall>(mocks::StreamMessages(200, {}));
  });
  v1::FetchRequest request;
  request.set_url("http://example.com/");
  client_.Upload(request, 3);

  EXPECT_CALL(*connection_, FetchStream).WillOnce([](const v1::FetchStreamStart& start, const auto&) {
    EXPECT_FALSE(start.has_body_length());
    return std::make_unique<mocks::ScriptedStreamCall>(mocks::StreamMessages(200, {}));
  });
  client_.Upload(request);
}

}  // namespace
}  // namespace fetchd
