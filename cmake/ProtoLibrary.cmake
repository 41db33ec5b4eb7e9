# fetchd_proto_library(TARGET [GRPC] FILES a.proto ...): C++ (and gRPC) code from protos below proto/.
# The generated headers are found as "fetchd/v1/fetch.pb.h".
function(fetchd_proto_library target)
  cmake_parse_arguments(ARG "GRPC" "" "FILES;DEPS" ${ARGN})
  set(root "${PROJECT_SOURCE_DIR}/proto")
  set(out "${PROJECT_BINARY_DIR}/proto/gen")
  file(MAKE_DIRECTORY "${out}")
  set(sources)
  foreach(file IN LISTS ARG_FILES)
    string(REGEX REPLACE "\\.proto$" "" base "${file}")
    set(made "${out}/${base}.pb.cc" "${out}/${base}.pb.h")
    set(args --cpp_out=${out})
    if(ARG_GRPC)
      list(APPEND made "${out}/${base}.grpc.pb.cc" "${out}/${base}.grpc.pb.h")
      # generate_mock_code gives MockFetchServiceStub for the SDK's own tests.
      list(APPEND args --grpc_out=generate_mock_code=true:${out} --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN})
      list(APPEND made "${out}/${base}_mock.grpc.pb.h")
    endif()
    add_custom_command(
      OUTPUT ${made}
      COMMAND ${PROTOC} -I ${root} --experimental_allow_proto3_optional ${args} ${file}
      WORKING_DIRECTORY ${root}
      DEPENDS ${root}/${file}
      COMMENT "protoc ${file}"
      VERBATIM)
    list(APPEND sources ${made})
  endforeach()
  add_library(${target} STATIC ${sources})
  # Generated code is not ours to tidy.
  set_target_properties(${target} PROPERTIES CXX_CLANG_TIDY "")
  target_include_directories(${target} SYSTEM PUBLIC $<BUILD_INTERFACE:${out}>)
  target_link_libraries(${target} PUBLIC protobuf::libprotobuf ${ARG_DEPS})
  if(ARG_GRPC)
    target_link_libraries(${target} PUBLIC gRPC::grpc++)
  endif()
endfunction()
