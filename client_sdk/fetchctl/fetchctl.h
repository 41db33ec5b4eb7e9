#pragma once

#include <istream>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "fetchctl/arguments.h"
#include "fetchd/client.h"

namespace fetchd::fetchctl {

// Where fetchctl reads and writes.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  // A person watches `err`: progress may be drawn on it.
  bool err_is_terminal = false;
  // Reading `in` may block for ever, and the process is about to end when Run returns.
  bool in_is_interactive = false;
};

// What a command works with.
struct Session {
  const Invocation& invocation;
  const Client& client;
  Terminal& terminal;
  // Requested on Ctrl-C.
  std::stop_token stop;
};

// Each command returns the exit code. `request` is the invocation's, with its body.
int RunGet(const Session& session, const v1::FetchRequest& request);
int RunBatch(const Session& session, const v1::FetchRequest& request);
int RunStream(const Session& session, const v1::FetchRequest& request);
int RunPaged(const Session& session, const v1::FetchRequest& request);
int RunCheck(const Session& session, const v1::FetchRequest& request);
int RunOrigins(const Session& session);
int RunAdmin(const Session& session);

// The whole program but for signals: parses, connects, runs, and returns the exit code.
int Run(const std::vector<std::string>& arguments, const Environment& environment, Terminal& terminal,
        std::stop_token stop);

}  // namespace fetchd::fetchctl
