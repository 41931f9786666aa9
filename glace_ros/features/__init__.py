"""Image -> features: local descriptors of patches, and one global descriptor."""
