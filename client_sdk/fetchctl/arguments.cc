#include "fetchctl/arguments.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fetchctl/flag_table.h"

namespace fetchd::fetchctl {
namespace {

template <typename... Parts>
absl::Status Bad(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(parts)...));
}

const Flag* FindLong(std::string_view name) {
  for (const Flag& flag : Flags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

const Flag* FindShort(char name) {
  for (const Flag& flag : Flags()) {
    if (flag.short_name == name) return &flag;
  }
  return nullptr;
}

const CommandInfo* FindCommand(std::string_view name) {
  for (const CommandInfo& info : Commands()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

const CommandInfo& InfoOf(Command command) {
  return *std::find_if(Commands().begin(), Commands().end(),
                       [&](const CommandInfo& info) { return info.command == command; });
}

// Walks over the arguments after the command's name.
class Parser {
 public:
  Parser(const std::vector<std::string>& arguments, Invocation& invocation)
      : arguments_(arguments), invocation_(invocation) {}

  absl::Status Run() {
    bool flags_allowed = true;
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_++];
      absl::Status status = absl::OkStatus();
      if (flags_allowed && argument == "--") {
        flags_allowed = false;
      } else if (flags_allowed && absl::StartsWith(argument, "--")) {
        status = TakeLong(argument);
      } else if (flags_allowed && argument.size() > 1 && argument[0] == '-') {
        status = TakeShort(argument);
      } else {
        operands_.push_back(argument);
      }
      if (!status.ok()) return status;
    }
    return invocation_.help ? absl::OkStatus() : TakeOperands();
  }

 private:
  absl::Status TakeLong(const std::string& argument) {
    const size_t equals = argument.find('=');
    const std::string shown = argument.substr(0, equals);
    const Flag* flag = FindLong(std::string_view(shown).substr(2));
    if (flag == nullptr) return Bad("unknown flag ", shown);
    if (flag->value.empty()) {
      if (equals != std::string::npos) return Bad(shown, " takes no value");
      return Apply(*flag, shown, "");
    }
    if (equals != std::string::npos) return Apply(*flag, shown, argument.substr(equals + 1));
    return ApplyToNext(*flag, shown);
  }

  // "-sif", "-XPOST", "-X POST", "-sXPOST".
  absl::Status TakeShort(const std::string& argument) {
    for (size_t i = 1; i < argument.size(); ++i) {
      const std::string shown = {'-', argument[i]};
      const Flag* flag = FindShort(argument[i]);
      if (flag == nullptr) return Bad("unknown flag ", shown);
      if (!flag->value.empty()) {
        return i + 1 < argument.size() ? Apply(*flag, shown, argument.substr(i + 1)) : ApplyToNext(*flag, shown);
      }
      if (absl::Status status = Apply(*flag, shown, ""); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status ApplyToNext(const Flag& flag, const std::string& shown) {
    if (next_ == arguments_.size()) return Bad(shown, " needs a value: ", flag.value);
    return Apply(flag, shown, arguments_[next_++]);
  }

  absl::Status Apply(const Flag& flag, const std::string& shown, const std::string& value) {
    if ((flag.commands & invocation_.command) == 0) {
      return Bad(shown, " does not belong to '", InfoOf(invocation_.command).name, "'");
    }
    const absl::Status status = flag.apply(invocation_, value);
    if (!status.ok()) return Bad(shown, ": ", std::string(status.message()));
    return absl::OkStatus();
  }

  absl::Status TakeOperands() {
    const CommandInfo& info = InfoOf(invocation_.command);
    if (info.operand.empty()) {
      return operands_.empty() ? absl::OkStatus() : Bad("'", info.name, "' takes no ", operands_[0]);
    }
    if (info.command == kAdmin) return TakeAct();
    if (operands_.empty()) return Bad("'", info.name, "' needs a ", info.operand);
    if (operands_.size() > 1) {
      return Bad("'", info.name, "' takes one ", info.operand, ", and there is also ", operands_[1],
                 info.command == kGet ? "; for many URLs use 'batch'" : "");
    }
    invocation_.operand = operands_[0];
    return absl::OkStatus();
  }

  // ACTION ORIGIN
  absl::Status TakeAct() {
    if (operands_.size() != 2) return Bad("'admin' takes reset, open or close, and an origin such as https://HOST");
    const std::string& action = operands_[0];
    if (action != "reset" && action != "open" && action != "close") {
      return Bad("'admin' knows reset, open and close, not ", action);
    }
    if (invocation_.open_time.has_value() && action != "open") return Bad("--for belongs to 'admin open'");
    if (invocation_.admin.empty()) return Bad("'admin' needs --admin ADDRESS, the admin.listen of fetchd");
    invocation_.action = action;
    invocation_.operand = operands_[1];
    return absl::OkStatus();
  }

  const std::vector<std::string>& arguments_;
  Invocation& invocation_;
  std::vector<std::string> operands_;
  size_t next_ = 0;
};

bool HasHeader(const v1::FetchRequest& request, std::string_view name) {
  return std::any_of(request.headers().begin(), request.headers().end(), [&](const v1::Header& header) {
    return absl::EqualsIgnoreCase(header.name(), absl::string_view(name.data(), name.size()));
  });
}

// As curl has it, http is meant when no scheme is given.
std::string WithScheme(const std::string& url) {
  return absl::StrContains(url, "://") ? url : absl::StrCat("http://", url);
}

absl::Status CompletePaged(Invocation& invocation) {
  v1::FetchPagedRequest& paged = invocation.paged;
  switch (paged.strategy_case()) {
    case v1::FetchPagedRequest::STRATEGY_NOT_SET:
      paged.mutable_link_header();
      break;
    case v1::FetchPagedRequest::kCursor:
      if (paged.cursor().source_case() == v1::CursorStrategy::SOURCE_NOT_SET) {
        return Bad("a cursor needs --cursor or --cursor-header");
      }
      if (paged.cursor().param().empty()) return Bad("a cursor needs --cursor-param");
      break;
    case v1::FetchPagedRequest::kOffset:
      if (paged.offset().param().empty()) return Bad("an offset needs --offset-param");
      if (!paged.has_items()) return Bad("--offset-param needs --items");
      break;
    case v1::FetchPagedRequest::kPageNumber:
      if (paged.page_number().param().empty()) return Bad("a page number needs --page-param");
      if (!paged.has_items()) return Bad("--page-param needs --items");
      break;
    default:
      break;
  }
  if (paged.max_items() != 0 && !paged.has_items()) return Bad("--max-items needs --items");
  if (invocation.include && paged.has_items() && !invocation.whole_pages) {
    return Bad("-i shows pages: it needs --whole-pages");
  }
  return absl::OkStatus();
}

// Defaults that follow from other flags, and combinations that make no sense.
absl::Status Complete(Invocation& invocation, const Environment& environment) {
  if (invocation.target.empty()) invocation.target = environment.target;
  if (invocation.target.empty()) invocation.target = "127.0.0.1:50051";
  if (!invocation.tls_ca_file.empty() || !invocation.tls_cert_file.empty()) invocation.tls = true;
  if (invocation.tls_cert_file.empty() != invocation.tls_key_file.empty()) {
    return Bad("--tls-cert and --tls-key need each other");
  }
  if (invocation.command == kAdmin) invocation.target = invocation.admin;
  if ((invocation.command & (kHealth | kOrigins | kAdmin)) != 0) return absl::OkStatus();

  v1::FetchRequest& request = invocation.request;
  if (invocation.head) {
    if (!request.method().empty() || !invocation.data.empty()) return Bad("-I excludes -X and -d");
    request.set_method("HEAD");
    invocation.include = true;
  }
  if (!invocation.upload.empty()) {
    if (!invocation.data.empty()) return Bad("-T and -d are two request bodies; choose one");
    if (request.method().empty()) request.set_method("PUT");
  }
  if (!invocation.data.empty()) {
    if (request.method().empty()) request.set_method("POST");
    if (!HasHeader(request, "content-type")) {
      v1::Header& header = *request.add_headers();
      header.set_name("content-type");
      header.set_value("application/x-www-form-urlencoded");
    }
  }
  if (request.body_policy().on_overflow() != v1::BodyPolicy::OVERFLOW_UNSPECIFIED &&
      request.body_policy().max_bytes() == 0) {
    return Bad("--truncate needs --max-filesize");
  }
  if (invocation.max_time.has_value()) SetDuration(*invocation.max_time, *request.mutable_timeouts()->mutable_total());
  if (invocation.json && invocation.include) return Bad("--json shows headers anyway: leave out -i and -I");
  if (invocation.command == kStream && invocation.json && (invocation.output.empty() || invocation.output == "-")) {
    return Bad("--json writes to standard output, so the body needs -o FILE");
  }
  if (invocation.command == kGet && invocation.json && !invocation.output.empty()) {
    return Bad("--json holds the body: leave out -o");
  }
  if (invocation.command == kPaged) {
    if (absl::Status status = CompletePaged(invocation); !status.ok()) return status;
  }
  if (invocation.command != kBatch) request.set_url(WithScheme(invocation.operand));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Invocation> Parse(const std::vector<std::string>& arguments, const Environment& environment) {
  Invocation invocation;
  if (arguments.empty()) return Bad("a command is missing");
  const std::string& first = arguments[0];
  if (first == "--version" || first == "-V") {
    invocation.version = true;
    return invocation;
  }
  if (first == "--help" || first == "-h" || first == "help") {
    invocation.help = true;
    if (arguments.size() > 1) {
      const CommandInfo* info = FindCommand(arguments[1]);
      if (info == nullptr) return Bad("there is no command '", arguments[1], "'");
      invocation.command = info->command;
    }
    return invocation;
  }
  const CommandInfo* info = FindCommand(first);
  if (info == nullptr) {
    if (first[0] == '-') return Bad("the command comes first, then flags such as ", first);
    if (absl::StrContains(first, "://")) return Bad("a command is missing; did you mean 'fetchctl get ", first, "'?");
    return Bad("there is no command '", first, "'");
  }
  invocation.command = info->command;
  const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  absl::Status status = Parser(rest, invocation).Run();
  if (status.ok() && !invocation.help) status = Complete(invocation, environment);
  if (!status.ok()) return status;
  return invocation;
}

std::string HelpText(Command command) {
  std::string text;
  if (command == kNone) {
    text = "usage: fetchctl COMMAND [FLAGS] [URL or FILE]\n\nFetches by way of fetchd. Commands:\n";
    for (const CommandInfo& info : Commands()) {
      std::string line = absl::StrCat("  ", std::string(info.name), " ", std::string(info.operand));
      line.resize(std::max<size_t>(line.size() + 1, 16), ' ');
      absl::StrAppend(&text, line, std::string(info.help), "\n");
    }
    absl::StrAppend(&text,
                    "\n'fetchctl COMMAND --help' lists the command's flags; 'fetchctl --version' prints the version.\n"
                    "FETCHD_TARGET in the environment says where fetchd is (default: 127.0.0.1:50051).\n");
    return text;
  }
  const CommandInfo& info = InfoOf(command);
  absl::StrAppend(&text, "usage: fetchctl ", std::string(info.name), " [FLAGS] ", std::string(info.operand), "\n\n",
                  "Does: ", std::string(info.help), ".\n\n");
  for (const Flag& flag : Flags()) {
    if ((flag.commands & command) == 0) continue;
    std::string line = flag.short_name == 0 ? "      " : std::string({' ', ' ', '-', flag.short_name, ',', ' '});
    absl::StrAppend(&line, "--", std::string(flag.name), " ", std::string(flag.value));
    line.resize(std::max<size_t>(line.size() + 1, 34), ' ');
    absl::StrAppend(&text, line, std::string(flag.help), "\n");
  }
  return text;
}

}  // namespace fetchd::fetchctl
