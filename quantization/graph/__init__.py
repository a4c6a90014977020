"""The quantized graph: annotation, edges, forms, storage."""
