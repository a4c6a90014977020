"""A network's cost: parameters and multiply-adds, counted, beside the paper's figures."""

from __future__ import annotations

from dvfl_mobile.documents import Document
from dvfl_mobile.model.architecture import Architecture


class Costs(Document):
    """Of one network, for one clip.

    Attributes:
        parameters: all trained numbers.
        multiply_adds: of convolutions and matrix products; a multiply-add is two FLOP by one way of counting and one by
            another, and papers on vision mostly write "GFLOPs" for these. None where unknown.
    """

    parameters: int
    multiply_adds: int | None


PUBLISHED = {
    "nano": Costs(parameters=22_000_000, multiply_adds=27_000_000_000),
    "base": Costs(parameters=157_000_000, multiply_adds=None),
}
"""The student and its teacher as the paper has them (arXiv:2507.12426), for 8 frames of 224 x 224."""

_PUBLISHED_FRAMES, _PUBLISHED_SIZE = 8, 224


def count_costs(architecture: Architecture) -> Costs:
    """Count a network's costs by its shapes alone, in no time and no memory.

    Multiply-adds are half of what `torch.utils.flop_counter` counts: convolutions and matrix products, in all of the
    blocks; norms, gates, sums and activations are not among them.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from dvfl_mobile.model.network import VideoFocalNet

    shape = (1, architecture.num_frames, architecture.in_chans, architecture.img_size, architecture.img_size)
    with torch.device("meta"):
        network, clip = VideoFocalNet(architecture).eval(), torch.empty(shape)
    with FlopCounterMode(display=False) as counter:
        network(clip)
    parameters = sum(values.numel() for values in network.parameters())
    return Costs(parameters=parameters, multiply_adds=counter.get_total_flops() // 2)


def published_costs(architecture: Architecture) -> Costs | None:
    """The paper's figures for a variant at its published size; None for any other network."""
    is_published_size = (architecture.num_frames, architecture.img_size) == (_PUBLISHED_FRAMES, _PUBLISHED_SIZE)
    return PUBLISHED.get(architecture.name) if is_published_size else None
