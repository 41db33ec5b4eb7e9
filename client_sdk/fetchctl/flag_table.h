#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "fetchctl/arguments.h"

namespace fetchd::fetchctl {

// One flag.
struct Flag {
  // 0: no short form.
  char short_name;
  std::string_view name;
  // What its value is called in the help. Empty: the flag takes none.
  std::string_view value;
  // The commands that know it, as bits.
  unsigned commands;
  std::string_view help;
  // Writes it into the invocation. `value` is empty for flags without one.
  std::function<absl::Status(Invocation& invocation, const std::string& value)> apply;
};

// All flags, in the order of the help.
const std::vector<Flag>& Flags();

// Writes `from`, 0 or more, into `to`.
void SetDuration(absl::Duration from, google::protobuf::Duration& to);

// One command.
struct CommandInfo {
  Command command;
  std::string_view name;
  // What its operand is called. Empty: it takes none.
  std::string_view operand;
  std::string_view help;
};

const std::vector<CommandInfo>& Commands();

}  // namespace fetchd::fetchctl
