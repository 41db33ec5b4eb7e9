// From the board's values to fetchd.v1, and back.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "engine/origin_snapshot.h"
#include "fetch/origin_board.h"
#include "fetchd/v1/origin_service.pb.h"
#include "model/origin.h"
#include "model/request.h"

namespace fetchd::server {

// Each fills in an empty message.
void WriteOrigin(const OriginSnapshot& origin, v1::Origin& into);
void WriteCheck(const UrlCheck& check, v1::CheckUrlResponse& into);
// What holds for the fetch: caller, weight and policies.
void WritePolicies(const FetchSpec& spec, v1::CheckUrlResponse& into);

// "https://api.example.com:443"; the scheme's own port may be missing, and there may be a "/" behind. InvalidArgument
// if it is no such name.
absl::StatusOr<Origin> ParseOriginName(std::string_view name);

}  // namespace fetchd::server
