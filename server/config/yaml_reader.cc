#include "config/yaml_reader.h"

#include <yaml-cpp/yaml.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace fetchd::server {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

std::string Join(absl::string_view section, absl::string_view key) {
  return absl::StrCat(section, section.empty() ? "" : ".", key);
}

absl::string_view KindOf(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a mapping";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "nothing";
  }
}

// Walks a document along the proto.
class Reader {
 public:
  Reader(absl::string_view file, KeyPlaces& places, Complaints& complaints)
      : file_(file), places_(places), complaints_(complaints) {}

  void ReadSection(const YAML::Node& node, const std::string& section, Message& message) {
    if (node.IsNull()) return;  // "pool:" with everything below it commented out
    if (!node.IsMap()) {
      Complain(node, section.empty() ? "(top)" : section, absl::StrCat("needs a mapping of keys, not ", KindOf(node)));
      return;
    }
    absl::flat_hash_map<std::string, int> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Complain(entry.first, section.empty() ? "(top)" : section, "a key must be a plain name");
        continue;
      }
      const std::string& name = entry.first.Scalar();
      const std::string path = Join(section, name);
      const int line = entry.first.Mark().line + 1;
      if (const auto [first, fresh] = seen.try_emplace(name, line); !fresh) {
        Complain(entry.first, path, absl::StrCat("is here a second time; the first is in line ", first->second));
        continue;
      }
      const FieldDescriptor* key = message.GetDescriptor()->FindFieldByName(name);
      if (key == nullptr) {
        Complain(entry.first, path, UnknownKey(*message.GetDescriptor(), section, name));
        continue;
      }
      places_[path] = absl::StrCat(file_, ":", line);
      if (IsSection(*key) && key->is_repeated()) {
        ReadSections(entry.second, path, *key, message);
      } else if (IsSection(*key)) {
        ReadSection(entry.second, path, *message.GetReflection()->MutableMessage(&message, key));
      } else if (key->is_repeated()) {
        ReadList(entry.second, path, *key, message);
      } else {
        ReadScalar(entry.second, path, *key, message);
      }
    }
  }

 private:
  static std::string UnknownKey(const Descriptor& type, const std::string& section, const std::string& name) {
    const std::string nearest = NearestKey(type, section, name);
    if (!nearest.empty()) return absl::StrCat("unknown key; did you mean ", nearest, "?");
    std::vector<std::string> names;
    names.reserve(static_cast<size_t>(type.field_count()));
    for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->name());
    return absl::StrCat("unknown key; accepted here: ", absl::StrJoin(names, ", "));
  }

  void ReadSections(const YAML::Node& node, const std::string& path, const FieldDescriptor& key, Message& message) {
    if (!node.IsSequence()) {
      Complain(node, path, absl::StrCat("needs a list, not ", KindOf(node), "; an item is ", Accepted(key)));
      return;
    }
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string item_path = absl::StrCat(path, "[", i, "]");
      const YAML::Mark mark = node[i].Mark();
      if (!node[i].IsNull()) places_[item_path] = absl::StrCat(file_, ":", mark.line + 1);
      ReadSection(node[i], item_path, *message.GetReflection()->AddMessage(&message, &key));
    }
    if (const auto wrong = CheckListSize(message, key)) Complain(node, path, *wrong);
  }

  void ReadScalar(const YAML::Node& node, const std::string& path, const FieldDescriptor& key, Message& message) {
    if (!node.IsScalar()) {
      Complain(node, path, absl::StrCat("needs ", Accepted(key), ", not ", KindOf(node)));
      return;
    }
    if (const auto wrong = SetValue(message, key, node.Scalar())) Complain(node, path, *wrong);
  }

  void ReadList(const YAML::Node& node, const std::string& path, const FieldDescriptor& key, Message& message) {
    if (!node.IsSequence()) {
      Complain(node, path, absl::StrCat("needs a list, not ", KindOf(node), "; an item is ", Accepted(key)));
      return;
    }
    bool good = true;
    for (size_t i = 0; i < node.size(); ++i) {
      const std::string item_path = absl::StrCat(path, "[", i, "]");
      const YAML::Node item = node[i];
      std::optional<std::string> wrong;
      if (item.IsScalar()) {
        wrong = SetValue(message, key, item.Scalar());
      } else {
        wrong = absl::StrCat("needs ", Accepted(key), ", not ", KindOf(item));
      }
      if (wrong.has_value()) Complain(item, item_path, *wrong);
      good = good && !wrong.has_value();
    }
    if (!good) return;
    if (const auto wrong = CheckListSize(message, key)) Complain(node, path, *wrong);
  }

  void Complain(const YAML::Node& node, absl::string_view path, absl::string_view what) {
    // An empty value stands nowhere, so yaml-cpp names the place after it.
    const YAML::Mark mark = node.Mark();
    const auto place = places_.find(path);
    if (node.IsNull() && place != places_.end()) {
      complaints_.Add(place->second, path, what);
    } else {
      complaints_.Add(absl::StrCat(file_, ":", mark.is_null() ? 1 : mark.line + 1), path, what);
    }
  }

  const absl::string_view file_;
  KeyPlaces& places_;
  Complaints& complaints_;
};

}  // namespace

std::string YamlText(const std::string& text) {
  const bool plain = !text.empty() && text.find_first_not_of(
                                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                          "0123456789._/-") == std::string::npos;
  if (plain && text.front() != '-') return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&quoted, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

namespace {

void AppendYaml(const Message& message, const std::string& indent, std::string& out);

// A list of mappings, each with a dash before its first key.
void AppendItems(const Message& message, const FieldDescriptor& key, const std::string& indent, std::string& out) {
  const int size = message.GetReflection()->FieldSize(message, &key);
  absl::StrAppend(&out, indent, key.name(), size == 0 ? ": []\n" : ":\n");
  for (int i = 0; i < size; ++i) {
    std::string item;
    AppendYaml(message.GetReflection()->GetRepeatedMessage(message, &key, i), indent + "    ", item);
    absl::StrAppend(&out, indent, "  - ", item.empty() ? "{}\n" : item.substr(indent.size() + 4));
  }
}

void AppendYaml(const Message& message, const std::string& indent, std::string& out) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& key = *type.field(i);
    if (key.is_repeated() && IsSection(key)) {
      AppendItems(message, key, indent, out);
    } else if (key.is_repeated()) {
      // A list that needs items and has none is one that was not set.
      if (CheckListSize(message, key).has_value()) continue;
      std::vector<std::string> items;
      items.reserve(static_cast<size_t>(reflection.FieldSize(message, &key)));
      for (int n = 0; n < reflection.FieldSize(message, &key); ++n) {
        items.push_back(YamlText(ValueText(message, key, n)));
      }
      absl::StrAppend(&out, indent, key.name(), ": [", absl::StrJoin(items, ", "), "]\n");
    } else if (!reflection.HasField(message, &key)) {
      continue;
    } else if (IsSection(key)) {
      absl::StrAppend(&out, indent, key.name(), ":\n");
      AppendYaml(reflection.GetMessage(message, &key), indent + "  ", out);
    } else {
      absl::StrAppend(&out, indent, key.name(), ": ", YamlText(ValueText(message, key)), "\n");
    }
  }
}

}  // namespace

void Complaints::Add(absl::string_view place, absl::string_view key, absl::string_view what) {
  texts_.push_back(absl::StrCat(place, ": ", key, ": ", what));
}

std::string Complaints::Text() const { return absl::StrJoin(texts_, "\n"); }

void ReadYaml(const std::string& text, absl::string_view file, ServerConfig& config, KeyPlaces& places,
              Complaints& complaints) {
  // yaml-cpp reports by exceptions; they end here.
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      complaints.Add(absl::StrCat(file, ":", documents[1].Mark().line + 1), "(top)",
                     "a second YAML document; one is accepted");
    } else if (documents.size() == 1) {
      Reader(file, places, complaints).ReadSection(documents[0], "", config);
    }
  } catch (const YAML::Exception& error) {
    complaints.Add(absl::StrCat(file, ":", error.mark.line + 1), "(top)",
                   absl::StrCat("not valid YAML: ", error.msg, " (column ", error.mark.column + 1, ")"));
  }
}

void SetKey(absl::string_view key, absl::string_view value, absl::string_view place, ServerConfig& config,
            KeyPlaces& places, Complaints& complaints) {
  Message* message = &config;
  std::vector<std::string> names = absl::StrSplit(key, '.');
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    const FieldDescriptor* section = message->GetDescriptor()->FindFieldByName(names[i]);
    message = message->GetReflection()->MutableMessage(message, section);
  }
  const FieldDescriptor& field = *message->GetDescriptor()->FindFieldByName(names.back());
  message->GetReflection()->ClearField(message, &field);
  places[key] = std::string(place);
  std::vector<std::string> items = {std::string(value)};
  if (field.is_repeated()) items = absl::StrSplit(value, ',', absl::SkipEmpty());
  for (const std::string& item : items) {
    if (const auto wrong = SetValue(*message, field, item)) {
      complaints.Add(place, key, *wrong);
      return;
    }
  }
  if (!field.is_repeated()) return;
  if (const auto wrong = CheckListSize(*message, field)) complaints.Add(place, key, *wrong);
}

std::string ToYaml(const Message& message) {
  std::string out;
  AppendYaml(message, "", out);
  return out;
}

}  // namespace fetchd::server
