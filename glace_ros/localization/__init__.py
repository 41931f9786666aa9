"""Image -> pose or rejection, and its fusion with odometry."""
