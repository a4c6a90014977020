"""Videos: decoding, clips, data sets and their splits."""
