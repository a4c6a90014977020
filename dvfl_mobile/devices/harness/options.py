"""The native program's options file: one option a line, so that no shell quoting is needed."""

from __future__ import annotations

from dataclasses import dataclass

from dvfl_mobile.devices.harness.protocol import Mode

VERSION = 1

MODEL, INPUT, OUTPUT = "model.bin", "input.bin", "output.bin"
OPTIONS, LOG, TRACE = "run.options", "run.log", "operators.trace"
"""The files in a program's folder, by name."""


@dataclass(frozen=True)
class PushedFile:
    """A file in the program's folder: name, size, and SHA-256 in hex."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ProgramOptions:
    """What one start of a program is to do.

    Attributes:
        input: the clips, one after the other, each as the artifact's input.
        output: the name of the file to write the logits to.
        log: the name of the file that takes what runtimes print.
        trace: the name of the file for the runtime's record of its operators; None: no times of operators.
        threads: None: the runtime's own choice.
        gpu: the precision that a GPU is to compute in, `fp16` or `fp32`; None: the CPU computes.
    """

    mode: Mode
    model: PushedFile
    input: PushedFile
    clips: int
    output: str
    log: str
    warmup: int = 0
    runs: int = 0
    threads: int | None = None
    cores: tuple[int, ...] = ()
    trace: str | None = None
    gpu: str | None = None

    def text(self) -> str:
        """The file, as the programs read it."""
        lines = [f"dvfl-mobile-options {VERSION}", f"mode {self.mode}"]
        for key, file in (("model", self.model), ("input", self.input)):
            lines += [f"{key} {file.name}", f"{key}_bytes {file.size_bytes}", f"{key}_sha256 {file.sha256}"]
        lines += [f"clips {self.clips}", f"output {self.output}", f"log {self.log}"]
        lines += [f"warmup {self.warmup}", f"runs {self.runs}"]
        if self.threads is not None:
            lines.append(f"threads {self.threads}")
        if self.cores:
            lines.append(f"cores {','.join(map(str, self.cores))}")
        if self.trace is not None:
            lines.append(f"trace {self.trace}")
        if self.gpu is not None:
            lines += ["accelerator gpu", f"precision {self.gpu}"]
        return "\n".join(lines) + "\n"
