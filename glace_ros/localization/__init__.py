"""One image -> the pose of its camera in the map, or a rejection."""
