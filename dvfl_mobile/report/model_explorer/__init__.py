"""Node data for Model Explorer: what locating and ranges found, to be seen on the graph of a `.tflite`."""
