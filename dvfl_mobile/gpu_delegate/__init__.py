"""What TFLite's GPU delegate takes of a `.tflite`, by its published rules."""
