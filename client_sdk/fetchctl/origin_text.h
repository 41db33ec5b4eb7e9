#pragma once

#include <string>

#include "fetchd/v1/origin_service.pb.h"

namespace fetchd::fetchctl {

// One line without its end, with a tab after the name and after the breaker's state; what is usual is left out:
//   https://api.example.com:443  closed  1 in flight of 128, 3 connections (2 idle), p95 12 ms
//   https://ill.example.com:443  open until 2026-01-31T12:00:01.500Z  10 failures in a row, ...
std::string Text(const v1::Origin& origin);

// Several lines: whether the URL may be fetched and what would become of it, its addresses, what holds for it.
std::string Text(const std::string& url, const v1::CheckUrlResponse& check);

}  // namespace fetchd::fetchctl
