# Install the compiler's own C and C++ libraries beside the programs, and their licences: then nothing of the system that
# they run on is needed but its kernel. Sets DVFL_LOADER and DVFL_C_LIBRARY, and adds to DVFL_CONTENTS.
set(DVFL_LOADER ld-linux-aarch64.so.1)
# libdl, libpthread and librt are empty since glibc 2.34; the runtimes' libraries still ask for them.
set(DVFL_C_LIBRARY ${DVFL_LOADER} libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libstdc++.so.6 libgcc_s.so.1)

foreach(name IN LISTS DVFL_C_LIBRARY)
  execute_process(
    COMMAND "${CMAKE_CXX_COMPILER}" -print-file-name=${name}
    OUTPUT_VARIABLE file OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  if(NOT IS_ABSOLUTE "${file}")
    message(FATAL_ERROR "${CMAKE_CXX_COMPILER} has no ${name}.")
  endif()
  file(REAL_PATH "${file}" file)
  install(PROGRAMS "${file}" DESTINATION . RENAME ${name})
  if(name STREQUAL "libc.so.6")
    cmake_path(GET file PARENT_PATH folder)
  endif()
endforeach()

# Where Debian has them, beside its cross compiler's libraries or beside those of a machine that is an Arm itself.
set(projects glibc gcc)
set(packages libc6 libstdc++6)
set(licences "")
foreach(project package IN ZIP_LISTS projects packages)
  foreach(place IN ITEMS ${package}-arm64-cross ${package})
    set(licence "${folder}/../../share/doc/${place}/copyright")
    if(EXISTS "${licence}" AND NOT "LICENCE.${project}" IN_LIST licences)
      list(APPEND licences LICENCE.${project})
      install(FILES "${licence}" DESTINATION . RENAME LICENCE.${project})
    endif()
  endforeach()
endforeach()
if(licences)
  set(DVFL_CONTENTS "${DVFL_CONTENTS};licences;${licences};|")
endif()
