// What the config proto says about its own keys.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "fetchd/config/v1/config.pb.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"

namespace fetchd::server {

using ServerConfig = ::fetchd::config::v1::ServerConfig;

// A nested mapping of keys, or a list of them, not a value (a Duration is a value).
bool IsSection(const google::protobuf::FieldDescriptor& key);
// What is accepted, for messages, as "a duration such as 250ms, from 1s to 1h". Of a list: what one of its items may
// be.
std::string Accepted(const google::protobuf::FieldDescriptor& key);
// Puts the value that `text` stands for into `message`, at the end if `key` is a list. Otherwise says what is wrong, as
// "is not " + Accepted, and changes nothing.
std::optional<std::string> SetValue(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& key,
                                    const std::string& text);
// What is wrong with the number of items of a list, if anything is.
std::optional<std::string> CheckListSize(const google::protobuf::Message& message,
                                         const google::protobuf::FieldDescriptor& key);
// The value of a key as text; `index` for a list.
std::string ValueText(const google::protobuf::Message& message, const google::protobuf::FieldDescriptor& key,
                      int index = -1);

// Gives every key without a value its default, but for what is in lists of sections: there, what is not set is not
// meant. A key with a wrong default is a bug.
void FillDefaults(google::protobuf::Message& message);
// Sets in `message` what is set in `changes`, which is of the same type; lists are replaced.
void Overlay(const google::protobuf::Message& changes, google::protobuf::Message& message);

// "pool.idle_timeout" for every value (not section) below `type`, in the order of the proto. Of a list of sections
// "origins[].hosts", and "origins[].retry" for its sections, whose keys are those of sections further up.
std::vector<std::string> KeyPaths(const google::protobuf::Descriptor& type);
// The key that was probably meant by an unknown one in section `type` at `section` ("" or "pool"), as a whole path;
// empty if none is near.
std::string NearestKey(const google::protobuf::Descriptor& type, absl::string_view section, absl::string_view unknown);

}  // namespace fetchd::server
