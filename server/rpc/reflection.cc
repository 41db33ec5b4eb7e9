#include "rpc/reflection.h"

#include <google/protobuf/descriptor.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "grpc/health/v1/health.grpc.pb.h"

namespace fetchd::server {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::FileDescriptorResponse;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

// The file and all it imports, each once.
void AddFile(const FileDescriptor& file, std::set<const FileDescriptor*>& seen, FileDescriptorResponse& into) {
  if (!seen.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  into.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, into);
}

void Error(grpc::StatusCode code, const char* message, ServerReflectionResponse& into) {
  into.mutable_error_response()->set_error_code(code);
  into.mutable_error_response()->set_error_message(message);
}

void Answer(const FileDescriptor* file, ServerReflectionResponse& into) {
  if (file == nullptr) return Error(grpc::StatusCode::NOT_FOUND, "not found", into);
  std::set<const FileDescriptor*> seen;
  AddFile(*file, seen, *into.mutable_file_descriptor_response());
}

}  // namespace

ServerReflectionResponse Reflect(const ServerReflectionRequest& request,
                                 const std::vector<std::string_view>& services) {
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kListServices: {
      auto& list = *response.mutable_list_services_response();
      for (const std::string_view name : services) list.add_service()->set_name(std::string(name));
      list.add_service()->set_name(grpc::health::v1::Health::service_full_name());
      list.add_service()->set_name(grpc::reflection::v1alpha::ServerReflection::service_full_name());
      break;
    }
    case ServerReflectionRequest::kFileByFilename:
      Answer(pool.FindFileByName(request.file_by_filename()), response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      Answer(pool.FindFileContainingSymbol(request.file_containing_symbol()), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      Error(grpc::StatusCode::NOT_FOUND, "there are no extensions", response);
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      Error(grpc::StatusCode::INVALID_ARGUMENT, "message_request is required", response);
      break;
  }
  return response;
}

ReflectionCall::ReflectionCall(RpcDesk& desk, AsyncReflectionService& service) : RpcCall(desk), service_(service) {
  NotifyWhenDone();
  service.RequestServerReflectionInfo(&context_, &stream_, &desk.cq, &desk.cq, arrived_.Arm());
}

void ReflectionCall::OnArrived(bool ok) {
  if (!ok) return;
  new ReflectionCall(desk_, service_);
  Arrived();
  begun_ = true;
  if (draining_) return Finish(ToStatus(Draining{}));
  Read();
}

void ReflectionCall::Read() { stream_.Read(&request_, read_.Arm()); }

void ReflectionCall::OnRead(bool ok) {
  if (finished_called_) return;
  if (!ok) return Finish(grpc::Status::OK);
  writing_ = true;
  stream_.Write(Reflect(request_, desk_.services), written_.Arm());
}

void ReflectionCall::OnWritten(bool ok) {
  writing_ = false;
  if (!ok || draining_) return Finish(ToStatus(Draining{}));
  Read();
}

void ReflectionCall::OnDrain() {
  draining_ = true;
  if (begun_ && !writing_) Finish(ToStatus(Draining{}));
}

void ReflectionCall::Finish(const grpc::Status& status) {
  if (std::exchange(finished_called_, true)) return;
  stream_.Finish(status, finished_.Arm());
}

}  // namespace fetchd::server
