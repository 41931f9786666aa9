# With the wheels in a virtual environment nothing is sourced, so nobody has set this: rosidl looks
# for its type supports there.
if(NOT DEFINED ENV{AMENT_PREFIX_PATH})
  get_filename_component(_prefix "${ament_cmake_DIR}/../../.." ABSOLUTE)
  set(ENV{AMENT_PREFIX_PATH} "${_prefix}")
endif()
