"""A rendered building and a robot's drive through it, as rosbags: a test recording whose truth is known."""
