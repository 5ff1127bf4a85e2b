"""What makes it CT: arrays in HU and spacing in mm, no files."""
