"""The life of a model: plan, load, quantize, convert, check, sum up."""
