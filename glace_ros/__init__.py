"""Visual relocalization for ROS 2: a rosbag becomes a scene map, and the map becomes poses."""

import os
import sys

__version__ = "0.1.0"

# glace_ros.msg is generated and lives in site-packages. When this file is imported from a
# source checkout instead (editable install, pytest in the repo), look for it there too.
for _dir in sys.path:
    _dir = os.path.join(_dir, __name__)
    if _dir not in __path__ and os.path.isfile(os.path.join(_dir, "msg", "__init__.py")):
        __path__.append(_dir)
