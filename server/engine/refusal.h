// Attempts that a policy of ours turned away.
#pragma once

#include <string>

#include "base/clock.h"
#include "engine/service.h"
#include "model/failure.h"

namespace fetchd::server {

// The outcome of an attempt that did not leave: never processed. `retry_at` is when it may be worth while again
// (kNever: nobody knows), and becomes the fetch's.
AttemptOutcome Refuse(FetchContext& context, FailureCode code, Phase phase, Instant retry_at, std::string detail);

// Of an attempt that waited when the breaker opened.
Failure CircuitOpened();

// Such an outcome, and not one of an attempt that left: it says nothing about the origin.
bool IsRefusal(const Failure& failure);

}  // namespace fetchd::server
