"""TFLite runners: LiteRT, and other runtimes as second opinions."""
