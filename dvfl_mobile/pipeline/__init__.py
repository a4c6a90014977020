"""The pipeline: plan, load, quantize, convert, check, summarize."""
