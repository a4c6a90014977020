"""Read an ExecuTorch program, `.pte`: what its `forward` does, and the bytes that a delegate was given.

By ExecuTorch's published schema, `schema/program.fbs`, and its extended header. For untrusted files: every offset and
size is checked, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.gpu_delegate.flatbuffer import MalformedError, Source, Table

_IDENTIFIER, _HEADER = b"ET12", b"eh00"
_DELEGATE_CALL = 2  # of the union InstructionArguments
_INLINE, _SEGMENT = 0, 1
_MOST_PLANS, _MOST_INSTRUCTIONS, _MOST_SEGMENTS = 64, 100_000, 100_000
_HINT = "Convert again, or get the whole folder again from where it came."


@dataclass(frozen=True)
class Blob:
    """Bytes within a program.

    Attributes:
        at: where they begin, in bytes.
        size_bytes: how many they are.
    """

    source: Source
    at: int
    size_bytes: int

    def read(self, at: int, count: int) -> bytes:
        """Exactly `count` bytes. Raises MalformedError where it hasn't as many."""
        if at < 0 or count < 0 or at + count > self.size_bytes:
            raise MalformedError(f"bytes {at} to {at + count} lie outside of a delegate's {self.size_bytes}")
        return self.source.bytes_at(self.at + at, count)


@contextmanager
def only_delegate(path: Path, backend: str) -> Iterator[Blob]:
    """What the one call that `forward` consists of was given for its delegate.

    Args:
        backend: the delegate's name, such as `CoreMLBackend`.

    Raises:
        ArtifactError: the file is no such program; or `forward` does more than one call of that delegate, which the
            delegate's own bytes don't tell of.
    """
    try:
        with Source(path) as source:
            yield _only_delegate(source, path, backend)
    except MalformedError as error:
        raise ArtifactError(f"{path} is no whole ExecuTorch program: {error}.", hint=_HINT) from error


def _only_delegate(source: Source, path: Path, backend: str) -> Blob:
    program = source.root(_IDENTIFIER)
    plan = _forward(program)
    kinds = [
        instruction.integer(0, "B")
        for chain in plan.tables(5, _MOST_PLANS)
        for instruction in chain.tables(2, _MOST_INSTRUCTIONS)
    ]
    delegates = list(plan.tables(7, _MOST_PLANS))
    names = [delegate.text(0, 100) for delegate in delegates]
    if kinds != [_DELEGATE_CALL] or names != [backend]:
        raise ArtifactError(
            f"{path} isn't one call of {backend} and no more: {len(kinds)} of {', '.join(names) or 'nothing'}.",
            hint="Only a program that a single delegate runs whole can be judged by what lies in it. Convert again.",
        )
    processed = delegates[0].table(1)
    if processed is None:
        raise MalformedError("its delegate was given nothing")
    return _blob(source, program, processed.integer(0, "b"), processed.integer(1, "I"))


def _forward(program: Table) -> Table:
    for plan in program.tables(1, _MOST_PLANS):
        if plan.text(0, 100) == "forward":
            return plan
    raise MalformedError("it has no method forward")


def _blob(source: Source, program: Table, location: int, index: int) -> Blob:
    if location == _INLINE:
        inline = _item(program.tables(3, _MOST_SEGMENTS), index)
        return Blob(source, *inline.region(0))
    if location != _SEGMENT:
        raise MalformedError(f"a delegate's bytes lie in an unknown place, {location}")
    if source.bytes_at(8, 4) != _HEADER:
        raise MalformedError("it has segments and no header that says where")
    base = source.integer("Q", 24)
    segment = _item(program.tables(4, _MOST_SEGMENTS), index)
    blob = Blob(source, base + segment.integer(0, "Q"), segment.integer(1, "Q"))
    if blob.at + blob.size_bytes > source.size_bytes:
        raise MalformedError("a segment ends outside of the file")
    return blob


def _item(tables: Iterator[Table], index: int) -> Table:
    for at, table in enumerate(tables):
        if at == index:
            return table
    raise MalformedError(f"there is no item {index}")
