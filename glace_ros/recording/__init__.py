"""Recordings: a bag becomes posed images. The only place that imports rosbags."""
