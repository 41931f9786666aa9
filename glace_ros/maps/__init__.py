"""Features -> map coordinates: the coordinate head and the map file."""
