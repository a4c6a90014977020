"""WeightSource: where a student's weights came from. Free of torch, so that a manifest can hold it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dvfl_mobile.documents import Document

SEEDED_NOTE = (
    "These weights are seeded, not trained: the figures say how closely the artifact computes what PyTorch "
    "computes, and nothing about accuracy."
)


class WeightSource(Document):
    """Where weights came from, in a way that can be checked again.

    Attributes:
        kind: `checkpoint` for trained weights, read from a file or trained here; `seeded` for weights drawn by a random
            generator.
        name: the file's name, or what the seeded weights are called.
        sha256: of the checkpoint file; for weights drawn or trained here, of all tensors' bytes in sorted key order.
            Hex.
        size_bytes: of the checkpoint file, or of all tensors.
    """

    kind: Literal["checkpoint", "seeded"]
    name: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)


def weights_notes(weights: str) -> tuple[str, ...]:
    """What a reader must know of weights of that kind."""
    return (SEEDED_NOTE,) if weights == "seeded" else ()
