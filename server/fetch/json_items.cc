#include "fetch/json_items.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/text.h"

namespace fetchd::server {
namespace {

constexpr size_t kMaxPointerSize = 1024;
constexpr size_t kMaxDepth = 256;

// A JSON pointer, taken apart.
struct Pointer {
  struct Token {
    std::string name;
    // The token as an array index (RFC 6901 section 4: no leading zeros), if it is one.
    std::optional<uint64_t> index;
  };
  std::vector<Token> tokens;
  // Something stood there.
  bool found = false;
};

Pointer::Token ParsePointerToken(std::string_view text) {
  Pointer::Token token;
  for (size_t i = 0; i < text.size(); ++i) {
    // "~01" stands for "~1": one pass, from left to right.
    token.name.push_back(text[i] != '~' ? text[i] : text[++i] == '0' ? '~' : '/');
  }
  uint64_t index = 0;
  const char* end = token.name.data() + token.name.size();
  const auto [stop, error] = std::from_chars(token.name.data(), end, index);
  if (error == std::errc() && stop == end && (index == 0 ? token.name.size() == 1 : token.name[0] != '0')) {
    token.index = index;
  }
  return token;
}

Pointer ParsePointer(std::string_view text) {
  Pointer pointer;
  while (!text.empty()) {
    text.remove_prefix(1);
    const size_t end = std::min(text.find('/'), text.size());
    pointer.tokens.push_back(ParsePointerToken(text.substr(0, end)));
    text.remove_prefix(end);
  }
  return pointer;
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 8259 section 6. Any size: the number is never turned into one of ours.
bool IsNumber(std::string_view text) {
  size_t i = 0;
  auto digits = [&] {
    const size_t begin = i;
    while (i < text.size() && IsDigit(text[i])) ++i;
    return i > begin;
  };
  if (i < text.size() && text[i] == '-') ++i;
  if (i < text.size() && text[i] == '0') {
    ++i;
  } else if (!digits()) {
    return false;
  }
  if (i < text.size() && text[i] == '.') {
    ++i;
    if (!digits()) return false;
  }
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '+' || text[i] == '-')) ++i;
    if (!digits()) return false;
  }
  return i == text.size();
}

std::optional<uint32_t> Hex4(std::string_view text) {
  if (text.size() < 4) return std::nullopt;
  uint32_t value = 0;
  for (char c : text.substr(0, 4)) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
    value = value * 16 + static_cast<uint32_t>(IsDigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10);
  }
  return value;
}

// RFC 8259 section 7, quotes included. Control characters and UTF-8 were checked by simdjson.
bool IsString(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  text = text.substr(1, text.size() - 2);
  if (text.find('"') == std::string_view::npos && text.find('\\') == std::string_view::npos) return true;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') return false;
    if (text[i] != '\\') continue;
    if (++i == text.size()) return false;
    if (text[i] == 'u') {
      if (!Hex4(text.substr(i + 1))) return false;
      i += 4;
    } else if (std::string_view("\"\\/bfnrt").find(text[i]) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xc0 | (c >> 6)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xe0 | (c >> 12)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  } else {
    out.push_back(static_cast<char>(0xf0 | (c >> 18)));
    out.push_back(static_cast<char>(0x80 | ((c >> 12) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | ((c >> 6) & 0x3f)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3f)));
  }
}

// The characters of a checked string. nullopt if it holds half of a surrogate pair, which JSON allows and UTF-8 does
// not.
std::optional<std::string> Unescape(std::string_view text) {
  text = text.substr(1, text.size() - 2);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    switch (text[++i]) {
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'n':
        out.push_back('\n');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'u': {
        uint32_t c = *Hex4(text.substr(i + 1));
        i += 4;
        if (c >= 0xdc00 && c < 0xe000) return std::nullopt;
        if (c >= 0xd800 && c < 0xdc00) {
          if (text.substr(i + 1, 2) != "\\u") return std::nullopt;
          const uint32_t low = *Hex4(text.substr(i + 3));
          if (low < 0xdc00 || low >= 0xe000) return std::nullopt;
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
          i += 6;
        }
        AppendUtf8(c, out);
        break;
      }
      default:
        out.push_back(text[i]);
    }
  }
  return out;
}

// Checks a document against the grammar and picks out what the pointers lead to, in one walk over the tokens that
// simdjson's first stage found. Its DOM is of no use here, as it refuses numbers that no double can hold and forgets
// where values stood; its On-Demand reader does not check what it skips.
class PageReader {
 public:
  // What values are wanted for.
  enum class Use {
    kPaging,  // a string or number leads to the next page
    kSlice    // only where it stands counts
  };

  // `text` is called `subject` in messages.
  PageReader(Use use, std::string_view subject, std::string_view text, const uint32_t* tokens, size_t count,
             std::optional<Pointer> items, std::optional<Pointer> value)
      : use_(use),
        subject_(subject),
        text_(text),
        tokens_(tokens),
        count_(count),
        items_(std::move(items)),
        value_(std::move(value)) {}

  absl::StatusOr<PageItems> Read() {
    absl::Status status = Value(0, {items_.has_value(), value_.has_value()});
    if (!status.ok()) return status;
    if (at_ != count_) return Error("something follows the document");
    if (items_ && !items_->found) return absl::InvalidArgumentError("the page has nothing at the items pointer");
    return std::move(page_);
  }

 private:
  // For each pointer: does the path so far lead along it?
  struct Path {
    bool items = false;
    bool value = false;
  };

  absl::Status Error(const std::string& what) const {
    const size_t at = at_ < count_ ? tokens_[at_] : text_.size();
    return absl::InvalidArgumentError(Concat(subject_, " is not JSON: ", what, " at byte ", at));
  }

  // The byte at which the current token begins, 0 after the last.
  char Peek() const { return at_ < count_ ? text_[tokens_[at_]] : '\0'; }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  // The current token up to the next one, without the blanks between them.
  std::string_view Token() const {
    const size_t begin = tokens_[at_];
    return text_.substr(begin, EndOfToken() - begin);
  }
  // Where the last token before the current one ends, if at_ was moved past it.
  size_t EndOfToken() const { return EndBefore(at_ + 1); }
  size_t EndBefore(size_t token) const {
    size_t end = token < count_ ? tokens_[token] : text_.size();
    while (end > 0 && IsBlank(text_[end - 1])) --end;
    return end;
  }

  absl::Status Value(size_t depth, Path path) {
    if (at_ == count_) return Error("it ends too early");
    // The first that stands at a place counts; Object makes sure of that for members with the same name.
    const bool is_items = path.items && items_->tokens.size() == depth;
    const bool is_value = path.value && value_->tokens.size() == depth;
    if (is_items) items_->found = true;
    if (!is_value) return ValueItself(depth, path, is_items, is_value);
    const size_t begin = tokens_[at_];
    absl::Status status = ValueItself(depth, path, is_items, is_value);
    page_.value_slice = {static_cast<uint32_t>(begin), static_cast<uint32_t>(EndBefore(at_) - begin)};
    return status;
  }

  absl::Status ValueItself(size_t depth, Path path, bool is_items, bool is_value) {
    const char first = Peek();
    if (first == '{' || first == '[') {
      if (is_value) page_.value.kind = JsonValue::Kind::kOther;
      if (depth == kMaxDepth) return Error(absl::StrCat("more than ", kMaxDepth, " levels"));
      if (first == '[') return Array(depth, path, is_items);
      if (is_items) return NotAnArray();
      return Object(depth, path);
    }
    return Scalar(is_items, is_value);
  }

  absl::Status Scalar(bool is_items, bool is_value) {
    const std::string_view token = Token();
    JsonValue::Kind kind = JsonValue::Kind::kOther;
    if (token == "null") {
      kind = JsonValue::Kind::kNull;
    } else if (IsString(token)) {
      kind = JsonValue::Kind::kString;
    } else if (IsNumber(token)) {
      kind = JsonValue::Kind::kNumber;
    } else if (token != "true" && token != "false") {
      return Error("a malformed value");
    }
    if (is_items && kind != JsonValue::Kind::kNull) return NotAnArray();
    if (is_value && use_ == Use::kPaging) {
      page_.value.kind = kind;
      if (kind == JsonValue::Kind::kNumber) page_.value.text = std::string(token);
      if (kind == JsonValue::Kind::kString) {
        std::optional<std::string> text = Unescape(token);
        if (!text) return Error("a string with half of a surrogate pair where the next page should be");
        page_.value.text = *std::move(text);
      }
    }
    ++at_;
    return absl::OkStatus();
  }

  absl::Status Array(size_t depth, Path path, bool is_items) {
    ++at_;
    if (Take(']')) return absl::OkStatus();
    auto leads = [&](const std::optional<Pointer>& pointer, uint64_t index) {
      return pointer->tokens.size() > depth && pointer->tokens[depth].index == index;
    };
    for (uint64_t index = 0;; ++index) {
      const size_t begin = at_ < count_ ? tokens_[at_] : 0;
      absl::Status status = Value(depth + 1, {path.items && leads(items_, index), path.value && leads(value_, index)});
      if (!status.ok()) return status;
      if (is_items) {
        page_.items.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(EndBefore(at_) - begin)});
      }
      if (Take(']')) return absl::OkStatus();
      if (!Take(',')) return Error("',' or ']' is missing");
    }
  }

  absl::Status Object(size_t depth, Path path) {
    ++at_;
    if (Take('}')) return absl::OkStatus();
    while (true) {
      if (Peek() != '"' || !IsString(Token())) return Error("a member's name is missing or malformed");
      Path member;
      if (path.items || path.value) {
        const std::optional<std::string> name = Unescape(Token());
        auto leads = [&](const std::optional<Pointer>& pointer) {
          return name && pointer->tokens.size() > depth && pointer->tokens[depth].name == *name;
        };
        member = {path.items && leads(items_), path.value && leads(value_)};
        path.items = path.items && !member.items;
        path.value = path.value && !member.value;
      }
      ++at_;
      if (!Take(':')) return Error("':' is missing");
      absl::Status status = Value(depth + 1, member);
      if (!status.ok()) return status;
      if (Take('}')) return absl::OkStatus();
      if (!Take(',')) return Error("',' or '}' is missing");
    }
  }

  static absl::Status NotAnArray() {
    return absl::InvalidArgumentError("what the page has at the items pointer is not an array");
  }

  const Use use_;
  const std::string_view subject_;
  const std::string_view text_;
  const uint32_t* const tokens_;
  const size_t count_;
  std::optional<Pointer> items_;
  std::optional<Pointer> value_;
  size_t at_ = 0;
  PageItems page_;
};

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

absl::StatusOr<PageItems> Parse(PageReader::Use use, std::string_view subject, std::string_view text,
                                std::optional<std::string_view> items, std::optional<std::string_view> value) {
  if (std::all_of(text.begin(), text.end(), IsBlank)) {
    return absl::InvalidArgumentError(Concat(subject, " is empty"));
  }

  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser;
  simdjson::error_code error =
      simdjson::get_active_implementation()->create_dom_parser_implementation(text.size(), /*max_depth=*/1, parser);
  if (error == simdjson::SUCCESS) {
    error = parser->stage1(reinterpret_cast<const uint8_t*>(text.data()), text.size(), simdjson::stage1_mode::regular);
  }
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(Concat(subject, " is not JSON: ", simdjson::error_message(error)));
  }

  auto parse = [](std::optional<std::string_view> pointer) -> std::optional<Pointer> {
    if (!pointer) return std::nullopt;
    return ParsePointer(*pointer);
  };
  return PageReader(use, subject, text, parser->structural_indexes.get(), parser->n_structural_indexes, parse(items),
                    parse(value))
      .Read();
}

}  // namespace

absl::Status ValidateJsonPointer(std::string_view pointer) {
  if (pointer.size() > kMaxPointerSize) {
    return absl::InvalidArgumentError(absl::StrCat("a JSON pointer has at most ", kMaxPointerSize, " bytes"));
  }
  if (pointer.empty()) return absl::OkStatus();
  if (pointer[0] != '/') {
    return absl::InvalidArgumentError("a JSON pointer is empty or begins with '/' (RFC 6901)");
  }
  for (size_t i = 0; i < pointer.size(); ++i) {
    if (pointer[i] != '~') continue;
    if (i + 1 == pointer.size() || (pointer[i + 1] != '0' && pointer[i + 1] != '1')) {
      return absl::InvalidArgumentError("in a JSON pointer '~' is written \"~0\" and '/' in a name \"~1\" (RFC 6901)");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<PageItems> ParsePage(std::string_view body, std::optional<std::string_view> items,
                                    std::optional<std::string_view> value) {
  const size_t skipped = body.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  absl::StatusOr<PageItems> page = Parse(PageReader::Use::kPaging, "the page", body.substr(skipped), items, value);
  if (page.ok()) {
    for (JsonSlice& item : page->items) item.at += static_cast<uint32_t>(skipped);
  }
  return page;
}

absl::StatusOr<std::optional<JsonSlice>> SelectJson(std::string_view body, std::string_view subject,
                                                    std::optional<std::string_view> pointer) {
  const size_t skipped = body.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  const absl::StatusOr<PageItems> page =
      Parse(PageReader::Use::kSlice, subject, body.substr(skipped), std::nullopt, pointer);
  if (!page.ok()) return page.status();
  std::optional<JsonSlice> slice = page->value_slice;
  if (slice) slice->at += static_cast<uint32_t>(skipped);
  return slice;
}

absl::Status CheckJson(std::string_view text, std::string_view subject) {
  if (text.starts_with(kByteOrderMark)) {
    return absl::InvalidArgumentError(Concat(subject, " is not JSON: it begins with a byte order mark"));
  }
  return Parse(PageReader::Use::kSlice, subject, text, std::nullopt, std::nullopt).status();
}

}  // namespace fetchd::server
