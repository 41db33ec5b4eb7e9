// URLs: what was taken once reads back as itself.
//
// Input, by lines: a URL, a reference, the name and the value of a query parameter.
#include "model/url.h"

#include <string>

#include "check.h"

namespace fetchd::server {
namespace {

void RequireWhole(const Url& url) {
  const std::string& text = url.text();
  Require(text == std::string(SchemePrefix(url.scheme())) + std::string(url.authority()) + std::string(url.target()),
          "a URL is its parts");
  Require(!url.host().empty(), "a URL has a host");
  Require(url.port() != 0, "a URL has a port");
  Require(url.target().starts_with('/'), "a target is a path");
  for (const char c : text) Require(c > 0x20 && c < 0x7f && c != '#', "a URL is printable, without a fragment");
  for (const char c : url.host()) Require(c < 'A' || c > 'Z', "a host is in lower case");
  Require(url.Redacted().starts_with(SchemePrefix(url.scheme())), "what is shown of a URL is one");
  if (text.size() > Url::kMaxSize) return;
  const auto again = Url::Parse(text);
  Require(again.ok(), "what was taken once is taken again");
  Require(again->text() == text && again->origin() == url.origin() && again->target() == url.target() &&
              again->host_address() == url.host_address(),
          "and reads as itself");
  // The fragment keeps it from the short way through the parser.
  if (text.size() == Url::kMaxSize) return;
  const auto slow = Url::Parse(text + "#");
  Require(slow.ok() && slow->text() == text && slow->origin() == url.origin() && slow->target() == url.target() &&
              slow->host_address() == url.host_address(),
          "both ways through the parser agree");
}

void Try(std::string_view input) {
  const std::string_view text = TakeLine(input);
  const auto url = Url::Parse(text);
  if (!url.ok()) {
    Require(!url.status().message().empty(), "a refusal has a reason");
    return;
  }
  RequireWhole(*url);
  if (text.find('#') == text.npos && text.size() < Url::kMaxSize) {
    const auto slow = Url::Parse(std::string(text) + "#");
    Require(slow.ok() && *slow == *url, "both ways through the parser agree on any text");
  }
  const auto self = url->Resolve(url->text());
  Require(url->text().size() > Url::kMaxSize || (self.ok() && *self == *url), "a URL is itself from anywhere");

  const std::string_view reference = TakeLine(input);
  if (const auto resolved = url->Resolve(reference); resolved.ok()) RequireWhole(*resolved);

  const std::string_view name = TakeLine(input), value = TakeLine(input);
  for (const bool drop_others : {false, true}) {
    const auto with = url->WithQueryParam(name, value, drop_others);
    if (!with.ok()) continue;
    RequireWhole(*with);
    Require(with->origin() == url->origin(), "a parameter does not change the origin");
    const auto twice = with->WithQueryParam(name, value, drop_others);
    Require(twice.ok() && *twice == *with, "the same parameter once more changes nothing");
  }
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}
