"""A rendered building and a robot's drive through it, as rosbags whose truth is known."""
