// The kinds of request bodies, as RequestReader reads them.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "fetch/resume_token.h"
#include "rpc/request_reader.h"
#include "support/fake_clock.h"

namespace fetchd::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class NoStarter final : public FetchStarter {
 public:
  absl::Status CheckUrl(const Url&) const override { return absl::OkStatus(); }
  void Start(std::shared_ptr<FetchCall>) override { ADD_FAILURE() << "reached the network"; }
  void Cancel(const std::shared_ptr<FetchCall>&) override {}
};

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

class BodyReaderTest : public ::testing::Test {
 protected:
  using Read = std::variant<FetchSpec, Refusal>;
  Read TryFetch(v1::FetchRequest request) {
    request.set_url("http://h/");
    return reader_.ReadFetch(std::move(request), Facts());
  }
  FetchSpec Fetch(const std::string& text) {
    Read read = TryFetch(Parse<v1::FetchRequest>(text));
    if (const auto* refusal = std::get_if<Refusal>(&read)) {
      ADD_FAILURE() << ToStatus(*refusal).error_message();
      return {};
    }
    return std::get<FetchSpec>(std::move(read));
  }
  RpcFacts Facts() { return {.caller = "tester", .now = clock_.Now(), .wall_now = clock_.WallNow()}; }

  FakeClock clock_;
  NoStarter starter_;
  FetchIds ids_{1};
  ResumeTokens tokens_{ResumeTokenOptions{.key = std::string(32, 'k')}};
  RequestReader reader_{ReaderOptions{}, starter_, ids_};
};

template <typename Variant>
std::vector<std::string> Violations(const Variant& read) {
  std::vector<std::string> result;
  const auto* refusal = std::get_if<Refusal>(&read);
  if (refusal == nullptr) return result;
  for (const FieldViolation& v : std::get<InvalidRequest>(*refusal).violations)
    result.push_back(v.field + ": " + v.description);
  return result;
}

TEST_F(BodyReaderTest, AFormIsEncodedAndPosted) {
  const FetchSpec spec = Fetch("form { name: 'a b' value: '1&2' } form { name: 'c' } form { name: 'a b' value: '3' }");
  EXPECT_EQ(spec.method, "POST");
  EXPECT_EQ(spec.body, "a+b=1%262&c=&a+b=3");
  EXPECT_EQ(spec.headers.Find("content-type"), "application/x-www-form-urlencoded");
}

TEST_F(BodyReaderTest, JsonIsSentByteForByte) {
  const std::string text = " {\"n\": 12345678901234567890123.0e+400, \"n\": 1, \"s\": \"\\u00e9\"}\n";
  v1::FetchRequest request;
  request.set_json(text);
  Read read = TryFetch(request);
  const auto& spec = std::get<FetchSpec>(read);
  EXPECT_EQ(spec.method, "POST");
  EXPECT_EQ(spec.body, text);
  EXPECT_EQ(spec.headers.Find("content-type"), "application/json");
  for (const char* whole : {"null", "0", "\"\"", "[]", "{}", "-1e-5"}) {
    request.set_json(whole);
    EXPECT_TRUE(std::holds_alternative<FetchSpec>(TryFetch(request))) << whole;
  }
}

TEST_F(BodyReaderTest, JsonThatIsNotWellFormedIsRefused) {
  const std::string deep(256, '[');
  for (const std::string& text :
       {std::string(), std::string(" \n"), std::string("{"), std::string("{'a': 1}"), std::string("[1,]"),
        std::string("01"), std::string("NaN"), std::string("{}{}"), std::string("\"\n\""), std::string("\"\\x\""),
        std::string("{a: 1}"), std::string("\xef\xbb\xbf{}"), std::string("{} //"), "[" + deep}) {
    v1::FetchRequest request;
    request.set_json(text);
    EXPECT_THAT(Violations(TryFetch(request)), ElementsAre(HasSubstr("json: the text is "))) << text;
  }
  v1::FetchRequest request;
  request.set_json(deep + std::string(256, ']'));
  EXPECT_THAT(Violations(TryFetch(request)), ElementsAre());
}

TEST_F(BodyReaderTest, MultipartHasItsBoundaryInTheContentType) {
  const char kText[] =
      "multipart { parts { name: 'a' data: 'x' } parts { name: 'f' filename: 'q\"' data: '\\000\\377' } }";
  const FetchSpec spec = Fetch(kText);
  EXPECT_EQ(spec.method, "POST");
  const std::string type(spec.headers.Find("content-type").value_or(""));
  ASSERT_THAT(type, testing::StartsWith("multipart/form-data; boundary=fetchd-"));
  const std::string delimiter = "--" + type.substr(type.find('=') + 1);
  EXPECT_EQ(spec.body, delimiter + "\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nx\r\n" + delimiter +
                           "\r\ncontent-disposition: form-data; name=\"f\"; filename=\"q%22\"\r\n"
                           "content-type: application/octet-stream\r\n\r\n" +
                           std::string("\0\377", 2) + "\r\n" + delimiter + "--\r\n");
  // A resume token of FetchPaged is bound to the body.
  EXPECT_EQ(Fetch(kText).body, spec.body);
}

TEST_F(BodyReaderTest, AMethodOrContentTypeOfTheCallerStays) {
  for (const char* body : {"form { name: 'a' }", "json: '{}'"}) {
    const FetchSpec spec = Fetch(std::string("method: 'PUT' headers { name: 'Content-Type' value: 'x/y' } ") + body);
    EXPECT_EQ(spec.method, "PUT");
    EXPECT_EQ(spec.headers.size(), 1U);
    EXPECT_EQ(spec.headers.Find("content-type"), "x/y");
  }
  EXPECT_EQ(Fetch("method: 'GET' json: '{}'").method, "GET");
  EXPECT_EQ(Fetch("method: 'PATCH' multipart { parts { name: 'a' } }").method, "PATCH");
  const FetchSpec plain = Fetch("body: 'x'");
  EXPECT_EQ(plain.method, "GET");
  EXPECT_FALSE(plain.headers.Has("content-type"));
}

TEST_F(BodyReaderTest, OnlyOneKindOfBodyMayBeSet) {
  const struct {
    const char* text;
    const char* first;
    std::vector<std::string> others;
  } rows[] = {
      {"body: 'x' form { name: 'a' }", "body", {"form"}},
      {"body: 'x' json: '{}'", "body", {"json"}},
      {"body: 'x' multipart { parts { name: 'a' } }", "body", {"multipart"}},
      {"form { name: 'a' } json: ''", "form", {"json"}},
      {"json: '1' multipart {}", "json", {"multipart"}},
      {"body: 'x' form {} json: '1' multipart {}", "body", {"form", "json", "multipart"}},
  };
  for (const auto& row : rows) {
    std::vector<std::string> expected;
    for (const std::string& other : row.others) expected.push_back(other + ": must not be set beside " + row.first);
    EXPECT_EQ(Violations(TryFetch(Parse<v1::FetchRequest>(row.text))), expected) << row.text;
  }
}

TEST_F(BodyReaderTest, BadPartsAreNamed) {
  const std::string name_4k(4096, 'n');
  const struct {
    std::string text;
    const char* violation;
  } rows[] = {
      {"multipart {}", "multipart.parts: must have at least one"},
      {"multipart { parts {} }", "multipart.parts[0].name: is required"},
      {"multipart { parts { name: 'a' } parts { name: 'a\\000' } }",
       "multipart.parts[1].name: must not contain control"},
      {"multipart { parts { name: 'a' filename: '\\013' } }", "multipart.parts[0].filename: must not contain control"},
      {"multipart { parts { name: 'a' filename: '\\177' } }", "multipart.parts[0].filename: must not contain control"},
      {"multipart { parts { name: '" + name_4k + "n' } }", "multipart.parts[0].name: must have at most 4 KiB"},
      {"multipart { parts { name: 'a' filename: '" + name_4k + "n' } }",
       "multipart.parts[0].filename: must have at most"},
      {"multipart { parts { name: 'a' content_type: 'a/b\\r\\nx: y' } }",
       "multipart.parts[0].content_type: must not cont"},
      {"headers { name: 'Content-Type' value: 'multipart/form-data; boundary=x' } multipart { parts { name: 'a' } }",
       "headers: must not have content-type with a multipart body"},
  };
  for (const auto& row : rows)
    EXPECT_THAT(Violations(TryFetch(Parse<v1::FetchRequest>(row.text))), ElementsAre(HasSubstr(row.violation)))
        << row.text;
  Fetch("multipart { parts { name: '" + name_4k + "' filename: '\\t\\r\\n\\\"' } }");
}

TEST_F(BodyReaderTest, AThousandPartsMayBe) {
  v1::FetchRequest request;
  for (int i = 0; i < 1000; ++i) request.mutable_multipart()->add_parts()->set_name("a");
  EXPECT_TRUE(std::holds_alternative<FetchSpec>(TryFetch(request)));
  request.mutable_multipart()->add_parts()->set_name("a");
  EXPECT_THAT(Violations(TryFetch(request)), ElementsAre("multipart.parts: has 1001 items, at most 1000 are allowed"));
}

TEST_F(BodyReaderTest, AStreamHasNoOtherBody) {
  const struct {
    const char* text;
    const char* violation;
  } rows[] = {
      {"request { form { name: 'a' } } streams_body: true", "start.request.form: must be empty"},
      {"request { json: '{}' } streams_body: true", "start.request.json: must be empty"},
      {"request { multipart { parts { name: 'a' } } } streams_body: true", "start.request.multipart: must be empty"},
      {"request { body: 'x' } streams_multipart: true", "start.request.body: must be empty"},
      {"request {} streams_body: true streams_multipart: true", "start.streams_multipart: must not be set beside"},
      {"request {} streams_multipart: true body_length: 5", "start.body_length: must not be set with streams_mult"},
      {"request { headers { name: 'content-type' value: 'x/y' } } streams_multipart: true",
       "start.request.headers: must not have content-type"},
  };
  for (const auto& row : rows) {
    auto start = Parse<v1::FetchStreamStart>(row.text);
    start.mutable_request()->set_url("http://h/");
    EXPECT_THAT(Violations(reader_.ReadStreamStart(std::move(start), Facts())),
                ElementsAre(testing::StartsWith(row.violation)))
        << row.text;
  }
}

TEST_F(BodyReaderTest, AStreamOfPartsHasABoundaryOfItsOwn) {
  std::string last;
  for (const char* method : {"", "PUT"}) {
    v1::FetchStreamStart start;
    start.mutable_request()->set_url("http://h/");
    start.mutable_request()->set_method(method);
    start.set_streams_multipart(true);
    auto read = reader_.ReadStreamStart(std::move(start), Facts());
    const auto& spec = std::get<StreamSpec>(read);
    EXPECT_TRUE(spec.streams_body);
    EXPECT_EQ(spec.fetch.method, *method == '\0' ? "POST" : method);
    EXPECT_EQ(spec.fetch.headers.Find("content-type"), "multipart/form-data; boundary=" + spec.boundary);
    EXPECT_NE(spec.boundary, last);
    last = spec.boundary;
  }
}

TEST_F(BodyReaderTest, APartOfAStreamIsCheckedAndWritten) {
  v1::MultipartPart part;
  part.set_name("n");
  part.set_data("begin");
  EXPECT_EQ(std::get<std::string>(RequestReader::ReadPart(part, "B", true)),
            "--B\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\nbegin");
  EXPECT_EQ(std::get<std::string>(RequestReader::ReadPart(part, "B", false)),
            "\r\n--B\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\nbegin");
  part.set_content_type(" ");
  EXPECT_THAT(Violations(RequestReader::ReadPart(part, "B", true)),
              ElementsAre(testing::StartsWith("part.content_type: ")));
}

TEST_F(BodyReaderTest, AResumeTokenIsBoundToTheBody) {
  const auto hash = [&](const std::string& body) {
    auto request = Parse<v1::FetchPagedRequest>("request { " + body + " } link_header {}");
    request.mutable_request()->set_url("http://h/");
    auto read = reader_.ReadPaged(std::move(request), tokens_, Facts());
    if (!std::holds_alternative<PagedSpec>(read)) ADD_FAILURE() << body;
    return PagedRequestHash(std::get<PagedSpec>(read));
  };
  const std::vector<std::string> bodies = {"",
                                           "form { name: 'a' value: '1' }",
                                           "form { name: 'a' value: '2' }",
                                           "json: '1'",
                                           "json: '2'",
                                           "method: 'POST' body: '1'",
                                           "multipart { parts { name: 'a' data: '1' } }",
                                           "multipart { parts { name: 'a' data: '2' } }"};
  for (size_t i = 0; i < bodies.size(); ++i)
    for (size_t j = 0; j < bodies.size(); ++j)
      EXPECT_EQ(hash(bodies[i]) == hash(bodies[j]), i == j) << bodies[i] << " / " << bodies[j];
}

}  // namespace
}  // namespace fetchd::server
