# The ROS 2 wheels on PyPI export include paths of the machine that built them (/opt/python/...),
# and CMake refuses paths that do not exist. Does nothing on other installations.
get_property(_imported DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(_target IN LISTS _imported)
  if(_target MATCHES "__rosidl_generator_py$")
    get_target_property(_dirs ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    list(FILTER _dirs EXCLUDE REGEX "^/opt/python/")
    set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_dirs}")
  endif()
endforeach()
