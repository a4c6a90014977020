"""The operators of ML programs, by family; each a function with the operator's own argument names.

Float tensors arrive as float32 (or float64), whatever the program holds them in, and the executor rounds what is given
back to the type that the program declares. Definitions are those of Apple's `coremltools.converters.mil.mil.ops.defs`.
"""
