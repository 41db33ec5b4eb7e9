# fetchd_room(NAME SOURCES ... DEPS ... [PRECOMPILE KIND]): one room of the server, a static library fetchd_NAME; for
# KIND see PrecompiledHeaders.cmake.
#
# Who may depend on whom is written in these DEPS alone. Headers are found as "NAME/file.h" only through a dependency:
# each room's include directory holds one link to the room itself, so a forbidden include does not compile and a
# forbidden call does not link.
function(fetchd_room name)
  cmake_parse_arguments(ARG "" "PRECOMPILE" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  set(door "${CMAKE_CURRENT_BINARY_DIR}/include")
  file(MAKE_DIRECTORY "${door}")
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${door}/${name}" SYMBOLIC)
  if(ARG_SOURCES)
    add_library(fetchd_${name} STATIC ${ARG_SOURCES})
    target_include_directories(fetchd_${name} PUBLIC "${door}")
    target_link_libraries(fetchd_${name} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS} fetchd_warnings)
    if(ARG_PRECOMPILE)
      fetchd_precompile(${ARG_PRECOMPILE} fetchd_${name})
    endif()
  else()
    add_library(fetchd_${name} INTERFACE)
    target_include_directories(fetchd_${name} INTERFACE "${door}")
    target_link_libraries(fetchd_${name} INTERFACE ${ARG_DEPS})
  endif()
endfunction()
