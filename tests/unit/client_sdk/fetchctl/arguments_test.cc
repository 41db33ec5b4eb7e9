#include "fetchctl/arguments.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "fetchctl/flag_table.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace fetchd::fetchctl {
namespace {

using testing::HasSubstr;

// What the words make of the request, or of its paged or batch form, in protobuf text format.
struct Row {
  std::vector<std::string> words;
  std::string expected;
};

template <typename Message>
void ExpectText(const Row& row, const Message& message) {
  Message expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(row.expected, &expected)) << row.expected;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(message, expected))
      << absl::StrJoin(row.words, " ") << " gave " << message.ShortDebugString();
}

TEST(Parse, Requests) {
  const std::string url = R"(url: "http://a/" )";
  const Row rows[] = {
      {{"get", "http://a/"}, url},
      {{"get", "a.example"}, R"(url: "http://a.example")"},
      {{"get", "--", "-odd"}, R"(url: "http://-odd")"},
      {{"get", "-X", "POST", "http://a/"}, url + R"(method: "POST")"},
      {{"get", "-XPOST", "http://a/"}, url + R"(method: "POST")"},
      {{"get", "http://a/", "--request=DELETE"}, url + R"(method: "DELETE")"},
      {{"get", "-sifXPUT", "http://a/"}, url + R"(method: "PUT")"},
      {{"get", "-H", "Accept: text/html ", "-H", "X-Empty:", "http://a/"},
       url + R"(headers { name: "Accept" value: "text/html" } headers { name: "X-Empty" })"},
      {{"get", "--secret-header", "X-Key: k:v", "http://a/"},
       url + R"(headers { name: "X-Key" value: "k:v" sensitive: true })"},
      {{"get", "-d", "a=1", "http://a/"},
       url + R"(method: "POST" headers { name: "content-type" value: "application/x-www-form-urlencoded" })"},
      {{"get", "-d", "{}", "-X", "PUT", "-H", "Content-Type: application/json", "http://a/"},
       url + R"(method: "PUT" headers { name: "Content-Type" value: "application/json" })"},
      {{"get", "-I", "http://a/"}, url + R"(method: "HEAD")"},
      {{"get", "-m", "1.5", "http://a/"}, url + "timeouts { total { seconds: 1 nanos: 500000000 } }"},
      {{"get", "--connect-timeout", "2", "http://a/"}, url + "timeouts { connect { seconds: 2 } }"},
      {{"get", "--retry", "0", "http://a/"}, url + "retry { max_attempts: 1 }"},
      {{"get", "--retry", "9", "--idempotent", "http://a/"}, url + "retry { max_attempts: 10 idempotent: true }"},
      {{"get", "--profile", "nightly", "--priority", "bulk", "http://a/"},
       url + R"(profile: "nightly" priority: PRIORITY_BULK)"},
      {{"get", "-L", "--session", "s1", "http://a/"}, url + R"(redirects { mode: MODE_FOLLOW } session: "s1")"},
      {{"get", "--priority=interactive", "http://a/"}, url + "priority: PRIORITY_INTERACTIVE"},
      {{"get", "--max-filesize", "64k", "http://a/"}, url + "body_policy { max_bytes: 65536 }"},
      {{"get", "--max-filesize", "10M", "--truncate", "http://a/"},
       url + "body_policy { max_bytes: 10485760 on_overflow: OVERFLOW_TRUNCATE }"},
      {{"stream", "-T", "file", "http://a/"}, url + R"(method: "PUT")"},
      {{"stream", "-T-", "-XPOST", "http://a/"}, url + R"(method: "POST")"},
      {{"batch", "-XHEAD", "urls"}, R"(method: "HEAD")"},
  };
  for (const Row& row : rows) {
    const auto parsed = Parse(row.words, {});
    ASSERT_TRUE(parsed.ok()) << absl::StrJoin(row.words, " ") << ": " << parsed.status();
    ExpectText(row, parsed->request);
  }
}

TEST(Parse, PagingStrategies) {
  const Row rows[] = {
      {{}, "link_header {}"},
      {{"--link-rel", "more"}, R"(link_header { rel: "more" })"},
      {{"--next-url", "/next"}, R"(next_url { pointer: "/next" })"},
      {{"--cursor", "/c", "--cursor-param", "after"}, R"(cursor { pointer: "/c" param: "after" })"},
      {{"--cursor-header", "x-next", "--cursor-param", "p", "--drop-other-params"},
       R"(cursor { header: "x-next" param: "p" drop_other_params: true })"},
      {{"--items", "", "--offset-param", "o", "--offset-start", "5", "--limit", "10", "--limit-param", "n"},
       R"(items: "" offset { param: "o" start: 5 limit: 10 limit_param: "n" })"},
      {{"--items=/i", "--page-param", "p", "--page-start", "0", "--page-size", "50"},
       R"(items: "/i" page_number { param: "p" start: 0 page_size: 50 })"},
      {{"--max-pages", "3", "--allow-other-origins", "--resume", "AP-_"},
       R"(link_header {} max_pages: 3 allow_other_origins: true resume_token: "\000\377\277")"},
      {{"--resume", "AP+/AA=="}, R"(link_header {} resume_token: "\000\377\277\000")"},
      {{"--items", "/i", "--max-items", "7"}, R"(items: "/i" link_header {} max_items: 7)"},
  };
  for (Row row : rows) {
    row.words.insert(row.words.begin(), {"paged", "http://a/"});
    const auto parsed = Parse(row.words, {});
    ASSERT_TRUE(parsed.ok()) << absl::StrJoin(row.words, " ") << ": " << parsed.status();
    ExpectText(row, parsed->paged);
  }
}

TEST(Parse, BatchFlags) {
  const Row rows[] = {
      {{"batch", "-"}, ""},
      {{"batch", "--in-order", "--fail-fast", "-P", "7", "f"},
       "order: ORDER_INPUT failure_mode: FAILURE_MODE_FAIL_FAST max_concurrency: 7"},
  };
  for (const Row& row : rows) {
    const auto parsed = Parse(row.words, {});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    ExpectText(row, parsed->batch);
  }
}

TEST(Parse, Rest) {
  const auto parsed = Parse({"stream", "-sSvf", "-o", "out", "--limit-rate=1M", "--deadline", "9", "--caller", "me",
                             "--json", "--tls-ca", "ca", "--tls-cert", "c", "--tls-key", "k", "u"},
                            {});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE(parsed->silent && parsed->show_error && parsed->verbose && parsed->fail && parsed->json && parsed->tls);
  EXPECT_EQ(parsed->output, "out");
  EXPECT_EQ(parsed->limit_rate, 1u << 20);
  EXPECT_EQ(parsed->deadline, absl::Seconds(9));
  EXPECT_EQ(parsed->caller, "me");
  EXPECT_EQ(parsed->tls_ca_file + parsed->tls_cert_file + parsed->tls_key_file, "cack");
  EXPECT_TRUE(Parse({"health", "--tls"}, {})->tls);
  EXPECT_EQ(Parse({"batch", "--output-dir", "d", "f"}, {})->output_dir, "d");
  EXPECT_TRUE(Parse({"paged", "--items", "", "--whole-pages", "-i", "u"}, {})->whole_pages);
  EXPECT_EQ(Parse({"get", "-d", "a", "--data-binary", "@b", "u"}, {})->data, (std::vector<std::string>{"a", "@b"}));
}

TEST(Parse, TargetComesFromFlagElseEnvironmentElseDefault) {
  EXPECT_EQ(Parse({"health"}, {})->target, "127.0.0.1:50051");
  EXPECT_EQ(Parse({"health"}, {.target = "env:1"})->target, "env:1");
  EXPECT_EQ(Parse({"health", "--target", "flag:1"}, {.target = "env:1"})->target, "flag:1");
}

TEST(Parse, HelpAndVersionNeedNothingElse) {
  EXPECT_TRUE(Parse({"--help"}, {})->help);
  EXPECT_TRUE(Parse({"-h"}, {})->help);
  EXPECT_EQ(Parse({"help", "paged"}, {})->command, kPaged);
  EXPECT_TRUE(Parse({"get", "--help"}, {})->help);
  EXPECT_TRUE(Parse({"--version"}, {})->version);
}

TEST(Parse, BadCommandLinesSayWhatIsWrong) {
  struct Bad {
    std::vector<std::string> words;
    std::string expected;
  };
  const Bad rows[] = {
      {{}, "a command is missing"},
      {{"fetch"}, "there is no command 'fetch'"},
      {{"help", "fetch"}, "there is no command 'fetch'"},
      {{"https://a/"}, "did you mean 'fetchctl get https://a/'?"},
      {{"-v", "get"}, "the command comes first, then flags such as -v"},
      {{"get"}, "'get' needs a URL"},
      {{"batch"}, "'batch' needs a FILE"},
      {{"get", "a", "b"}, "'get' takes one URL, and there is also b; for many URLs use 'batch'"},
      {{"health", "x"}, "'health' takes no x"},
      {{"get", "--nope", "a"}, "unknown flag --nope"},
      {{"get", "-sZ", "a"}, "unknown flag -Z"},
      {{"get", "a", "-X"}, "-X needs a value: METHOD"},
      {{"get", "a", "--request"}, "--request needs a value: METHOD"},
      {{"get", "--silent=yes", "a"}, "--silent takes no value"},
      {{"get", "--items", "/i", "a"}, "--items does not belong to 'get'"},
      {{"health", "-X", "GET"}, "-X does not belong to 'health'"},
      {{"get", "-H", "nonsense", "a"}, "-H: is not 'NAME: VALUE'"},
      {{"get", "-H", ": v", "a"}, "-H: is not 'NAME: VALUE'"},
      {{"get", "-m", "soon", "a"}, "-m: 'soon' is not a number of seconds above 0"},
      {{"get", "-m", "0", "a"}, "-m: '0' is not a number of seconds above 0"},
      {{"get", "-m", "nan", "a"}, "-m: 'nan' is not a number of seconds above 0"},
      {{"get", "-m", "1e300", "a"}, "-m: '1e300' is not a number of seconds above 0"},
      {{"get", "--priority", "urgent", "a"}, "--priority: 'urgent' is not interactive, normal or bulk"},
      {{"get", "--retry", "10", "a"}, "--retry: '10' is not a whole number from 0 to 9"},
      {{"get", "--max-filesize", "10T", "a"}, "'10T' is not a size such as 4096, 64k or 10M"},
      {{"get", "--max-filesize", "99999999999G", "a"}, "'99999999999G' is not a size"},
      {{"get", "--max-filesize", "k", "a"}, "'k' is not a size"},
      {{"get", "--truncate", "a"}, "--truncate needs --max-filesize"},
      {{"get", "-I", "-d", "x", "a"}, "-I excludes -X and -d"},
      {{"get", "--json", "-i", "a"}, "--json shows headers anyway"},
      {{"get", "--json", "-o", "f", "a"}, "--json holds the body"},
      {{"get", "--tls-cert", "c", "a"}, "--tls-cert and --tls-key need each other"},
      {{"stream", "-T", "f", "-d", "x", "a"}, "-T and -d are two request bodies"},
      {{"stream", "--json", "a"}, "the body needs -o FILE"},
      {{"batch", "-P", "1001", "f"}, "-P: '1001' is not a whole number from 0 to 1000"},
      {{"paged", "--next-url", "/n", "--link-rel", "next", "a"}, "--link-rel: belongs to another paging strategy"},
      {{"paged", "--cursor", "/c", "--cursor-header", "h", "a"}, "--cursor-header: the cursor has a source already"},
      {{"paged", "--cursor", "/c", "a"}, "a cursor needs --cursor-param"},
      {{"paged", "--cursor-param", "p", "a"}, "a cursor needs --cursor or --cursor-header"},
      {{"paged", "--items", "", "--limit", "5", "a"}, "an offset needs --offset-param"},
      {{"paged", "--offset-param", "o", "a"}, "--offset-param needs --items"},
      {{"paged", "--items", "", "--page-size", "5", "a"}, "a page number needs --page-param"},
      {{"paged", "--page-param", "p", "a"}, "--page-param needs --items"},
      {{"paged", "--max-items", "5", "a"}, "--max-items needs --items"},
      {{"paged", "--items", "", "-i", "a"}, "it needs --whole-pages"},
      {{"paged", "--resume", "!", "a"}, "--resume: is not a token that fetchctl printed"},
      {{"paged", "--max-pages", "-1", "a"}, "--max-pages: '-1' is not a whole number"},
  };
  for (const Bad& row : rows) {
    const auto parsed = Parse(row.words, {});
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << absl::StrJoin(row.words, " ");
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(row.expected)) << absl::StrJoin(row.words, " ");
  }
}

TEST(HelpText, ListsEveryFlagOfACommandAndNoOther) {
  for (const CommandInfo& info : Commands()) {
    const std::string help = HelpText(info.command);
    for (const Flag& flag : Flags()) {
      const bool listed = help.find("--" + std::string(flag.name) + " ") != std::string::npos;
      EXPECT_EQ(listed, (flag.commands & info.command) != 0) << info.name << " " << flag.name;
    }
  }
  EXPECT_THAT(HelpText(kNone), HasSubstr("FETCHD_TARGET"));
}

TEST(Flags, HaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  std::set<char> letters;
  for (const Flag& flag : Flags()) {
    EXPECT_TRUE(names.insert(flag.name).second) << flag.name;
    if (flag.short_name != 0) {
      EXPECT_TRUE(letters.insert(flag.short_name).second) << flag.short_name;
    }
  }
}

}  // namespace
}  // namespace fetchd::fetchctl
