#include "policy/link_header.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace fetchd::server {
namespace {

struct Link {
  std::string_view target;
  std::optional<std::string> rel;
  bool anchored = false;
};

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// tchar of RFC 9110 section 5.6.2.
bool IsTokenChar(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// Unquoted values occur with URIs in them; all that cannot end the value is taken.
bool IsLooseValueChar(char c) { return !IsBlank(c) && c != ',' && c != ';' && c != '"' && c != '<' && c != '>'; }

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return absl::ascii_tolower(x) == absl::ascii_tolower(y); });
}

bool HasRel(std::string_view list, std::string_view rel) {
  while (!list.empty()) {
    size_t end = 0;
    while (end < list.size() && !absl::ascii_isspace(static_cast<unsigned char>(list[end]))) ++end;
    if (end > 0 && EqualsIgnoringCase(list.substr(0, end), rel)) return true;
    list.remove_prefix(end < list.size() ? end + 1 : end);
  }
  return false;
}

// Reads the links of one field value, one at a time.
class LinkParser {
 public:
  explicit LinkParser(std::string_view text) : text_(text) {}

  // The next link, nullopt at the end.
  absl::StatusOr<std::optional<Link>> Next() {
    // Empty list elements are allowed (RFC 9110 section 5.6.1.2).
    SkipBlanks();
    while (Take(',')) SkipBlanks();
    if (AtEnd()) return std::nullopt;
    if (!Take('<')) return Malformed("a link does not begin with '<'");
    size_t end = text_.find('>', at_);
    if (end == std::string_view::npos) return Malformed("'<' without '>'");
    Link link;
    link.target = text_.substr(at_, end - at_);
    while (!link.target.empty() && IsBlank(link.target.front())) link.target.remove_prefix(1);
    while (!link.target.empty() && IsBlank(link.target.back())) link.target.remove_suffix(1);
    at_ = end + 1;
    while (true) {
      SkipBlanks();
      if (AtEnd() || text_[at_] == ',') return link;
      if (!Take(';')) return Malformed("';' or ',' is missing after a link");
      absl::Status status = Parameter(link);
      if (!status.ok()) return status;
    }
  }

 private:
  absl::Status Parameter(Link& link) {
    SkipBlanks();
    if (AtEnd() || text_[at_] == ';' || text_[at_] == ',') return absl::OkStatus();
    size_t begin = at_;
    while (!AtEnd() && IsTokenChar(text_[at_])) ++at_;
    if (at_ == begin) return Malformed("a parameter has no name");
    std::string_view name = text_.substr(begin, at_ - begin);
    SkipBlanks();
    std::string value;
    if (Take('=')) {
      SkipBlanks();
      if (Take('"')) {
        if (!Quoted(value)) return Malformed("a quoted value does not end");
      } else {
        begin = at_;
        while (!AtEnd() && IsLooseValueChar(text_[at_])) ++at_;
        value = text_.substr(begin, at_ - begin);
      }
    }
    if (EqualsIgnoringCase(name, "rel") && !link.rel)
      link.rel = std::move(value);
    else if (EqualsIgnoringCase(name, "anchor") && !value.empty())
      link.anchored = true;
    return absl::OkStatus();
  }

  bool Quoted(std::string& value) {
    while (!AtEnd()) {
      char c = text_[at_++];
      if (c == '"') return true;
      if (c == '\\') {
        if (AtEnd()) return false;
        c = text_[at_++];
      }
      value.push_back(c);
    }
    return false;
  }

  absl::Status Malformed(const char* what) const {
    return absl::InvalidArgumentError(absl::StrCat("malformed Link header: ", what, " (byte ", at_, ")"));
  }

  void SkipBlanks() {
    while (!AtEnd() && IsBlank(text_[at_])) ++at_;
  }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool AtEnd() const { return at_ == text_.size(); }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<std::optional<std::string>> FindLink(const Headers& headers, std::string_view rel) {
  std::optional<std::string> found;
  size_t size = 0;
  for (HeaderView field : headers) {
    if (field.name != "link") continue;
    size += field.value.size();
    if (size > kMaxLinkHeaderSize) {
      return absl::InvalidArgumentError(absl::StrCat("Link header over ", kMaxLinkHeaderSize, " bytes"));
    }
    LinkParser parser(field.value);
    while (true) {
      absl::StatusOr<std::optional<Link>> link = parser.Next();
      if (!link.ok()) return link.status();
      if (!link->has_value()) break;
      const Link& found_link = **link;
      if (!found && !found_link.anchored && found_link.rel && HasRel(*found_link.rel, rel)) {
        found = std::string(found_link.target);
      }
    }
  }
  return found;
}

}  // namespace fetchd::server
