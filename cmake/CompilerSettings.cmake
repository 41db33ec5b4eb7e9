# Language level, warnings and sanitizers for all of our targets.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_compile_options(-pthread)
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

# Warnings are errors in our code; generated code (ProtoLibrary) does not link this target.
add_library(fetchd_warnings INTERFACE)
target_compile_options(fetchd_warnings INTERFACE
  -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees through Asio's operator new for coroutine frames but not through the matching delete.
  target_compile_options(fetchd_warnings INTERFACE -Wno-mismatched-new-delete)
endif()

if(FETCHD_SANITIZE)
  add_compile_options(-fsanitize=${FETCHD_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${FETCHD_SANITIZE})
  if(FETCHD_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  if(FETCHD_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 warns about atomic_thread_fence inside Boost under TSan.
    add_compile_options(-Wno-tsan)
  endif()
endif()

if(FETCHD_BUILD_FUZZ)
  # clang 14 cannot assemble coroutines with -fsanitize=function.
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize=function)
  # Warnings are g++'s to judge.
  target_compile_options(fetchd_warnings INTERFACE -Wno-error)
endif()
