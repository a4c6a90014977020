"""Training clips decoded per second, against decord and torchcodec: same frames, same videos, same size.

    python benchmarks/decoding.py DATA [--rounds 6] [--threads 1 2] [--videos 60] [--size 224]

Each makes, of each video, a clip of 8 frames drawn as in training and brought to SIZE x SIZE: ours by
`VideoSamples` with no recolouring (which the others don't do), theirs by their own readers and torch's bilinear
resize. All decoders get the same indices, worked out before; the number of frames in a video is known to all, as in
every epoch but the first. Threads are Python's, a video each; decoders have one thread to themselves. They run in
turn, round by round, and the ratio's interval is over rounds. decord and torchcodec are left out where they aren't
installed: pip install decord torchcodec==0.13 (which also wants FFmpeg's libraries on the system; later ones
didn't load beside torch 2.13).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from export import interval

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.video import probe
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.training.clips.augment import draw_indices
from dvfl_mobile.training.clips.data import VideoSamples
from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import Augmentation

Maker = Callable[[int, int], np.ndarray]


def ours(refs: Sequence[VideoRef], spec: ClipSpec) -> Maker:
    samples = VideoSamples(refs, spec, Augmentation.none(), seed=0)
    return lambda index, epoch: samples.sample(index, epoch).pixels


def decord(refs: Sequence[VideoRef], spec: ClipSpec) -> Maker:
    import decord as library

    def make(index: int, epoch: int) -> np.ndarray:
        reader = library.VideoReader(str(refs[index].path), num_threads=1)
        frames = reader.get_batch(drawn(refs, spec, index, epoch)).asnumpy()
        return resized(torch.from_numpy(frames).permute(0, 3, 1, 2), spec.size)

    return make


def torchcodec(refs: Sequence[VideoRef], spec: ClipSpec) -> Maker:
    from torchcodec.decoders import VideoDecoder

    def make(index: int, epoch: int) -> np.ndarray:
        decoder = VideoDecoder(str(refs[index].path), num_ffmpeg_threads=1, seek_mode="exact")
        frames = decoder.get_frames_at(drawn(refs, spec, index, epoch).tolist()).data
        return resized(frames, spec.size)

    return make


MAKERS = {"ours": ours, "decord": decord, "torchcodec": torchcodec}
_COUNTS: dict[Path, int] = {}


def drawn(refs: Sequence[VideoRef], spec: ClipSpec, index: int, epoch: int) -> np.ndarray:
    """The frames that ours draws of a video in an epoch."""
    count = _COUNTS[refs[index].path]
    return draw_indices(random_stream(0, Stream.CLIP, epoch, index), count, spec.frames, spec.frame_interval).clip(
        0, count - 1
    )


def resized(frames: torch.Tensor, size: int) -> np.ndarray:
    """The largest square in the middle, brought to size by size, as ours without augmentation."""
    side = min(frames.shape[-2:])
    top, left = ((length - side) // 2 for length in frames.shape[-2:])
    square = frames[..., top : top + side, left : left + side].float()
    return torch.nn.functional.interpolate(square, (size, size), mode="bilinear").round().byte().numpy()


def seconds(make: Maker, count: int, epoch: int, threads: int) -> float:
    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda index: make(index, epoch), range(count)):
            pass
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = ClipSpec.official(8, options.size)
    everything = find_split(options.data, "train").refs
    refs = everything[:: max(1, len(everything) // options.videos)][: options.videos]
    _COUNTS.update({ref.path: probe(ref.path).decoded for ref in refs})
    makers: dict[str, Maker] = {}
    for name, maker in MAKERS.items():
        try:
            makers[name] = maker(refs, spec)
            seconds(makers[name], len(refs), 0, 1)  # what is known after the first epoch, and warm files
        except (ImportError, OSError, RuntimeError) as error:
            makers.pop(name, None)
            print(f"{name} is left out: {str(error).splitlines()[0]}")
    print(f"{len(refs)} videos, clips of {spec.frames} frames at {spec.size} x {spec.size}, {options.rounds} rounds\n")
    print("| threads | decoder | clips a second | ours / this |\n|---|---|---|---|")
    for threads in options.threads:
        times = np.array(
            [
                [seconds(make, len(refs), 1 + number, threads) for make in makers.values()]
                for number in range(options.rounds)
            ]
        )
        for column, name in enumerate(makers):
            # As speeds: how many times as many clips ours makes in the same time.
            ratio = "1" if column == 0 else interval(times[:, column] / times[:, 0])
            print(f"| {threads} | {name} | {len(refs) / np.median(times[:, column]):.1f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
