#include "config/reload.h"

#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "config/room_options.h"
#include "policy/proxy_choice.h"

namespace fetchd::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

bool IsReloaded(const std::string& section) {
  static const std::set<std::string> reloaded = {
      "timeouts", "retry",   "hedge",    "retry_budget", "breaker", "rate_limit", "concurrency",   "outlier",
      "http2",    "origins", "profiles", "callers",      "proxies", "proxy",      "proxy_override"};
  return reloaded.count(section) != 0;
}

std::string ValuesText(const Message& message, const FieldDescriptor& key) {
  const Reflection& reflection = *message.GetReflection();
  if (!key.is_repeated()) return reflection.HasField(message, &key) ? ValueText(message, key) : "";
  std::string text;
  for (int i = 0; i < reflection.FieldSize(message, &key); ++i)
    absl::StrAppend(&text, ValueText(message, key, i), "\n");
  return text;
}

void AppendDifferences(const Message& a, const Message& b, const std::string& section, std::vector<std::string>& out) {
  const Descriptor& type = *a.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& key = *type.field(i);
    if (section.empty() && IsReloaded(key.name())) continue;
    if (IsSection(key)) {
      AppendDifferences(a.GetReflection()->GetMessage(a, &key), b.GetReflection()->GetMessage(b, &key),
                        absl::StrCat(section, key.name(), "."), out);
    } else if (ValuesText(a, key) != ValuesText(b, key)) {
      out.push_back(absl::StrCat(section, key.name()));
    }
  }
}

}  // namespace

std::vector<std::string> KeysThatNeedRestart(const ServerConfig& running, const ServerConfig& read) {
  std::vector<std::string> keys;
  AppendDifferences(running, read, "", keys);
  return keys;
}

ConfigReloader::ConfigReloader(std::string path, std::vector<Override> overrides, ServerConfig running,
                               PolicySource& policies)
    : path_(std::move(path)), overrides_(std::move(overrides)), running_(std::move(running)), policies_(policies) {}

ReloadResult ConfigReloader::Reload() {
  ReloadResult result;
  const auto loaded = LoadConfig(path_, overrides_);
  auto options = loaded.ok() ? MakeRoomOptions(*loaded) : absl::StatusOr<RoomOptions>(loaded.status());
  if (!options.ok()) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    result.complaints = absl::StrSplit(options.status().message(), '\n');
    return result;
  }
  result.needs_restart = KeysThatNeedRestart(running_, loaded->config);
  KeepProxies(*policies_.Get(), options->policies);
  policies_.Publish(std::make_shared<const PolicyBook>(std::move(options->policies)));
  ok_.fetch_add(1, std::memory_order_relaxed);
  return result;
}

}  // namespace fetchd::server
