# Headers of other people's libraries that most files of a target read, parsed once for all targets of a kind; half of the
# time of a build was theirs. Our own headers are not among them, so that a change of ours rebuilds no more than it must,
# and every file still includes what it uses: the preset `tidy` builds without this.
#
# A kind is shared by targets with the same flags; CompilerSettings.cmake sets for all what any of them needs. g++ says
# (-Winvalid-pch) if a target's differ.
set(fetchd_pch_std <algorithm> <array> <atomic> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <span>
  <string> <string_view> <utility> <variant> <vector>)
set(fetchd_pch_asio ${fetchd_pch_std} <boost/asio/io_context.hpp> <boost/asio/post.hpp> <boost/asio/error.hpp>
  <boost/intrusive/list.hpp> <absl/container/flat_hash_map.h> <absl/functional/any_invocable.h> <absl/status/statusor.h>
  <absl/strings/str_cat.h>)
set(fetchd_pch_client ${fetchd_pch_std} <absl/status/statusor.h> <absl/strings/str_cat.h> <google/protobuf/map.h>
  <google/protobuf/message.h> <google/protobuf/repeated_field.h> <grpcpp/grpcpp.h> <grpcpp/alarm.h> <grpcpp/support/async_stream.h>
  <grpcpp/support/async_unary_call.h>)
set(fetchd_pch_grpc ${fetchd_pch_asio} ${fetchd_pch_client})

# fetchd_precompile(KIND TARGET...): std, asio, grpc (with asio) or client (without); each also as test_KIND, for
# executables, with GoogleTest.
function(fetchd_precompile kind)
  set(owner fetchd_pch_${kind})
  if(NOT TARGET ${owner})
    set(source "${PROJECT_BINARY_DIR}/pch/${kind}.cc")
    string(REPLACE "test_" "" headers "fetchd_pch_${kind}")
    if(kind MATCHES "^test_")
      file(CONFIGURE OUTPUT "${source}" CONTENT "int main() {}\n")
      # Executables, as their code is not that of libraries (-fPIE).
      add_executable(${owner} EXCLUDE_FROM_ALL "${source}")
      target_link_libraries(${owner} PRIVATE GTest::gmock)
      set(more <gtest/gtest.h> <gmock/gmock.h>)
      if(kind STREQUAL "test_asio")
        list(APPEND more <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp>
          <boost/asio/ip/tcp.hpp> <boost/asio/read.hpp> <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp>
          <boost/asio/write.hpp>)
      endif()
    else()
      file(CONFIGURE OUTPUT "${source}" CONTENT "\n")
      add_library(${owner} OBJECT EXCLUDE_FROM_ALL "${source}")
      set(more "")
    endif()
    target_link_libraries(${owner} PRIVATE fetchd_warnings)
    if(kind MATCHES "grpc|client")
      target_link_libraries(${owner} PRIVATE gRPC::grpc++)
    endif()
    target_precompile_headers(${owner} PRIVATE ${${headers}} ${more})
  endif()
  foreach(target IN LISTS ARGN)
    target_precompile_headers(${target} REUSE_FROM ${owner})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # g++ 12 warns within std::string, whose headers it no longer knows as the system's.
      target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-restrict -Wno-stringop-overflow
        -Wno-stringop-overread)
    endif()
  endforeach()
endfunction()
