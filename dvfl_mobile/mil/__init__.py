"""A Core ML executor for any system: runs a saved `.mlpackage` (an ML program) from its own bytes, on torch kernels.

It computes what the *artifact* says, operator by operator as Apple publishes each, and rounds to the types that the
program declares. It is no emulation of the Neural Engine, of a GPU or of Core ML's own kernels: those sum in other
orders and may round elsewhere. What isn't published, or isn't known here, stops with a name; nothing is guessed.

    package   the package's files: its model, and where its weights are
    program   the protobuf as plain operations
    blob      weights from the package's blob files
    dtypes    MIL's types, and what holds them here
    ops/      the operators by family
    operators all of them in one table
    executor  the program, run

`README.md` says how it works, and how to add an operator.
"""
