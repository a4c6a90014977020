"""TFLite models, by LiteRT and by other runtimes as second opinions."""
