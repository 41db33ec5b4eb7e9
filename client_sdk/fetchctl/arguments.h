#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fetchd/v1/fetch_service.pb.h"

namespace fetchd::fetchctl {

// The subcommands, as bits, so that a flag can say to which of them it belongs.
enum Command : unsigned {
  kNone = 0,
  kGet = 1,
  kBatch = 2,
  kStream = 4,
  kPaged = 8,
  kHealth = 16,
  kOrigins = 32,
  kCheck = 64,
  kAdmin = 128,
};

// What a command line asks for; its flags are described in flag_table.cc.
struct Invocation {
  Command command = kNone;
  // Print help (of `command`, or of everything) or the version, and do nothing else.
  bool help = false;
  bool version = false;

  std::string target;
  std::string caller = "fetchctl";
  bool tls = false;
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;

  // The URL, for batch the file of URLs, for admin the origin.
  std::string operand;
  // The request, or what all requests of a batch have in common. Its body is still in `data`.
  v1::FetchRequest request;
  // What to do to an origin, of admin: "reset", "open" or "close".
  std::string action;
  // Where operators reach fetchd, of admin.
  std::string admin;
  // How long it stays open, of "admin open".
  std::optional<absl::Duration> open_time;
  // Of origins.
  std::string host;
  bool watch = false;
  // Values of -d, in order: text, "@FILE" or "@-".
  std::vector<std::string> data;
  v1::FetchBatchRequest batch;
  v1::FetchPagedRequest paged;
  bool whole_pages = false;
  // Of one fetch, and of the RPC.
  std::optional<absl::Duration> max_time;
  std::optional<absl::Duration> deadline;

  bool json = false;
  bool include = false;
  bool head = false;
  bool fail = false;
  bool silent = false;
  bool show_error = false;
  bool verbose = false;
  bool explain = false;
  // Files. Empty or "-": standard output.
  std::string output;
  std::string output_dir;
  // File to upload, or "-".
  std::string upload;
  // Bytes per second; 0: no limit.
  uint64_t limit_rate = 0;

  bool ShowsErrors() const { return !silent || show_error; }
};

// What Parse takes from the environment.
struct Environment {
  // FETCHD_TARGET, or empty.
  std::string target;
};

// Reads a command line (without the program's name). Touches nothing but its arguments. INVALID_ARGUMENT says what is
// wrong with it.
absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments, const Environment& environment);

// Help for one command, or the overview for kNone.
std::string HelpText(Command command);

}  // namespace fetchd::fetchctl
