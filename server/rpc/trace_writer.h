// From the model's trace to fetchd.v1.
#pragma once

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "base/clock.h"
#include "fetchd/v1/fetch.pb.h"
#include "model/trace.h"

namespace fetchd::server {

void WriteDuration(Duration duration, google::protobuf::Duration& into);
void WriteTime(WallTime time, google::protobuf::Timestamp& into);
// Fills in an empty message with as much as Trace::explain allows.
void WriteTrace(const Trace& trace, v1::Trace& into);

}  // namespace fetchd::server
