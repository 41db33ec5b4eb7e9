#include "fetchctl/input.h"

#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/json_util.h"

namespace fetchd::fetchctl {

absl::StatusOr<std::string> ReadAll(const std::string& path, Terminal& terminal) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(terminal.in), {});
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  // A directory opens, but cannot be read; an empty file sets failbit of `content` alone.
  if (!file || (file.peek(), file.bad())) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  content << file.rdbuf();
  return std::move(content).str();
}

absl::StatusOr<std::string> JoinData(const std::vector<std::string>& data, Terminal& terminal) {
  std::string body;
  for (size_t i = 0; i < data.size(); ++i) {
    if (i > 0) body += '&';
    if (!absl::StartsWith(data[i], "@")) {
      body += data[i];
      continue;
    }
    const absl::StatusOr<std::string> content = ReadAll(data[i].substr(1), terminal);
    if (!content.ok()) return content.status();
    body += *content;
  }
  return body;
}

absl::StatusOr<std::vector<v1::FetchRequest>> ParseBatch(const std::string& text, const v1::FetchRequest& common) {
  std::vector<v1::FetchRequest> requests;
  int number = 0;
  for (const absl::string_view raw : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string line(absl::StripAsciiWhitespace(raw));
    if (line.empty() || line[0] == '#') continue;
    v1::FetchRequest request = common;
    if (line[0] == '{') {
      v1::FetchRequest parsed;
      const auto status = google::protobuf::util::JsonStringToMessage(line, &parsed);
      if (!status.ok()) {
        return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", std::string(status.message())));
      }
      request.MergeFrom(parsed);
    } else {
      request.set_url(absl::StrContains(line, "://") ? line : absl::StrCat("http://", line));
    }
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace fetchd::fetchctl
