#!/usr/bin/env bash
# ros-kilted-rosidl-default-generators 1.7.1: its wheels do not ask for the CMake packages that they use.
#
# Surprising: the wheels carry over what package.xml needs at run time and leave its
#   buildtool_export_depend out. rosidl_typesupport_fastrtps_c says there that whoever uses it needs
#   ament_cmake_ros_core, calls find_package(ament_cmake_ros_core REQUIRED) while it generates messages, and
#   its wheel does not ask for it: pip is content and CMake stops.
# Expected: what `pip install` of the generators brings is enough to generate a message.
# Matters: the environment builds until a release moves a find_package; then it stops, far from the cause.
# We: name all of them, for Jazzy in pyproject.toml and for Kilted in dev/kilted.txt.
set -euo pipefail
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip "setuptools<80" numpy==2.2.6 catkin-pkg==1.1.1 cmake==3.31.10 ninja==1.13.2 \
    ros-kilted-rosidl-default-generators==1.7.1 ros-kilted-ament-cmake==2.7.3 \
    ros-kilted-std-msgs==5.5.1 "ros-kilted-rclpy[fastrtps]==9.1.2"
"$folder/venv/bin/pip" list --disable-pip-version-check |
    grep -E "rosidl-default-generators|typesupport-fastrtps-c |ament-cmake-ros" || true

mkdir -p "$folder/lamp/msg"
printf "std_msgs/Header header\nbool on\n" >"$folder/lamp/msg/Lamp.msg"
cat >"$folder/lamp/package.xml" <<'END'
<package format="3">
  <name>lamp</name>
  <version>0.0.0</version>
  <description>One message.</description>
  <maintainer email="nobody@example.com">nobody</maintainer>
  <license>Apache-2.0</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <buildtool_depend>rosidl_default_generators</buildtool_depend>
  <depend>std_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
END
cat >"$folder/lamp/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(lamp)
find_package(ament_cmake REQUIRED)
find_package(rosidl_default_generators REQUIRED)
find_package(std_msgs REQUIRED)
rosidl_generate_interfaces(lamp "msg/Lamp.msg" DEPENDENCIES std_msgs)
ament_package()
END

declare -A versions=([ament_package]=0.17.2 [ament_cmake_include_directories]=2.7.3
    [rosidl_core_generators]=0.3.1 [ament_cmake_ros_core]=0.14.5)
export PATH=$folder/venv/bin:$PATH AMENT_PREFIX_PATH=$folder/venv
missing=
until cmake -S "$folder/lamp" -B "$folder/build" -G Ninja -DPython3_EXECUTABLE="$folder/venv/bin/python" \
    -DCMAKE_PREFIX_PATH="$folder/venv" >"$folder/log" 2>&1 || grep -q "Configuring done" "$folder/log"; do
    name=$(tr -s '\n ' ' ' <"$folder/log" | grep -oP "(file provided by \"|No module named ')\K\w+" | head -n 1) || name=
    if [ -z "${versions[$name]-}" ]; then
        cat "$folder/log"
        echo "changed: CMake stops for another reason" >&2
        exit 1
    fi
    echo "no wheel asks for $name, and CMake stops"
    missing="$missing $name"
    pip "ros-kilted-${name//_/-}==${versions[$name]}"
    rm -rf "$folder/build"
done
echo "with these, CMake is content:$missing"
if [[ " $missing " != *" ament_cmake_ros_core "* ]]; then
    echo "changed: ament_cmake_ros_core comes along" >&2
    exit 1
fi
