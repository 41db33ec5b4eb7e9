// Content codings: what comes out does not depend on how the input is cut, and is never more than the caps allow.
//
// Input: one byte that tells the codings, one that tells how to cut, then the coded body.
#include "http/content_decoder.h"

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"

namespace fetchd::server {
namespace {

// Far above the windows of three layers.
constexpr size_t kMostMemory = size_t{96} * 1024 * 1024;

struct Decoded {
  ContentDecoder::Result result = ContentDecoder::Result::kOk;
  bool complete = false;
  // Refused as too large, at the end at the latest.
  bool limited = false;
  std::string body;
};

Decoded Decode(std::string_view input, CodingList codings, const DecoderLimits& limits, Dice* dice) {
  LayeredDecoder decoder(codings, limits);
  Decoded decoded;
  std::vector<char> buffer(32 * 1024);
  uint64_t taken = 0;
  std::string piece;
  std::string_view in;
  for (;;) {
    const size_t room = dice == nullptr ? buffer.size() : std::min(dice->Piece(), buffer.size());
    std::span<char> out(buffer.data(), room);
    const size_t offered = in.size();
    decoded.result = decoder.Decode(in, out);
    Require(in.size() <= offered && out.size() <= room, "nothing is used or made that is not there");
    taken += offered - in.size();
    decoded.body.append(buffer.data(), room - out.size());
    const uint64_t most = std::max(limits.free_bytes, limits.max_ratio * taken);
    Require(decoder.memory() <= kMostMemory, "memory is bounded");
    if (decoded.result != ContentDecoder::Result::kOk) {
      Require(!decoder.error().empty(), "a refusal has a reason");
      Require(decoded.body.size() <= most + room, "a bomb is refused at once");
      decoded.limited = decoded.result == ContentDecoder::Result::kLimit;
      return decoded;
    }
    Require(decoded.body.size() <= most, "no more comes out than the caps allow");
    if (out.empty()) continue;
    Require(in.empty(), "where there is room, all of the input is used");
    if (input.empty()) break;
    // The next piece is elsewhere, and the one before it is gone.
    const size_t n = dice == nullptr ? input.size() : std::min(dice->Piece(), input.size());
    piece = std::string(input.substr(0, n));
    in = piece;
    input.remove_prefix(n);
  }
  const ContentDecoder::Result end = decoder.End();
  decoded.complete = end == ContentDecoder::Result::kOk;
  decoded.limited = end == ContentDecoder::Result::kLimit;
  return decoded;
}

void Try(std::string_view input) {
  const uint8_t which = TakeByte(input);
  const uint8_t cuts = TakeByte(input);
  CodingList codings;
  codings.size = static_cast<uint8_t>(1 + which % 4 % CodingList::kMost);
  for (size_t i = 0; i < codings.size; ++i) codings.codings[i] = static_cast<ContentCoding>((which >> (2 + 2 * i)) & 3);
  DecoderLimits limits;
  if ((cuts & 1) != 0) limits = {.free_bytes = 2000, .max_ratio = 20, .max_members = 3, .max_window_log = 15};
  const Decoded whole = Decode(input, codings, limits, nullptr);
  Dice dice(cuts);
  const Decoded cut = Decode(input, codings, limits, &dice);
  // What is broken may be refused where it breaks or at its end: when the libraries see it depends on the pieces. At
  // which byte the ratio is looked at does too, so a bomb may be refused or found broken first.
  Require(whole.limited || cut.limited || whole.complete == cut.complete, "accepted or refused, whole and cut");
  // Of a body that is cut off, and of br in a large window until enough has come, less may have come out.
  if (whole.complete && cut.complete) Require(whole.body == cut.body, "the same body, whole and cut");
  const size_t common = std::min(whole.body.size(), cut.body.size());
  Require(std::string_view(whole.body).substr(0, common) == std::string_view(cut.body).substr(0, common),
          "what comes out before a refusal does not depend on cuts either");
}

}  // namespace
}  // namespace fetchd::server

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fetchd::server::Try(fetchd::server::Text(data, size));
  return 0;
}
