"""The race against other engines: what is raced is the network's own, and each program answers from its process."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.costs import count_costs

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are in a checkout, not in a wheel")


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_products_and_depthwise_convolutions_are_all_multiply_adds_of_the_network() -> None:
    from peer_programs.products import products_of

    for architecture in (Architecture.variant("nano", 8), Architecture.variant("nano", 3)):
        products, depthwise = products_of(architecture)
        assert sum(product.multiply_adds for product in products) + depthwise == count_costs(architecture).multiply_adds


def test_int8_products_compute_what_float_ones_do() -> None:
    import torch
    from peer_programs.products import Int8Products, Product, Products

    shapes = [Product(4, 32, 8), Product(4, 32, 16), Product(9, 16, 8)]
    wanted = Products(shapes)
    for fold in (False, True):
        module = Int8Products(shapes, fold=fold)
        found = module(*module.inputs())
        assert {value.dtype for value in found} == {torch.int8 if fold else torch.float32}
        for one, other in zip(found, wanted(*wanted.inputs()), strict=True):
            # Half a step of the output, and what rounding of 32 inputs and weights makes.
            assert (one * (module.SCALE if fold else 1) - other).abs().max() < 0.1


def test_a_worker_gives_logits_and_as_many_times_as_are_asked_for(tmp_path: Path) -> None:
    from peer_programs.racing import Entrant, Worker, race

    from dvfl_mobile.runners.tflite.flatbuffer import tripling

    model, clips = tmp_path / "model.tflite", tmp_path / "clips.npy"
    model.write_bytes(tripling())
    np.save(clips, np.arange(8, dtype=np.float32).reshape(2, 1, 1, 1, 4))
    python, settings = Path(sys.executable), ["--threads", "1"]
    with (
        Worker(Entrant("with clips", python, "tflite", model, clips), settings, tmp_path / "a.log") as one,
        Worker(Entrant("without", python, "tflite", model), [*settings, "--no-amx"], tmp_path / "b.log") as other,
    ):
        assert one.version.startswith("LiteRT ")
        assert one.logits is not None
        assert one.logits.tolist() == [[0, 3, 6, 9], [12, 15, 18, 21]]
        assert other.logits is None
        assert len(one.times_ns(3)) == 3
        found = race([one, other], rounds=2, runs=1)
    assert found.shape == (2, 2)
    assert (found > 0).all()


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    from peer_programs.racing import Entrant, Worker

    absent = Entrant("absent", Path(sys.executable), "tflite", tmp_path / "none.tflite")
    with pytest.raises(RuntimeError, match=r"absent ended with 1:(?s:.*)none\.tflite"):
        Worker(absent, ["--threads", "1"], tmp_path / "log")


@pytest.mark.skipif((platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="AMX is lent by Linux")
def test_a_process_that_does_without_amx_asks_in_vain() -> None:
    asking = "import ctypes; ask = ctypes.CDLL(None, use_errno=True).syscall"
    refusing = "from peer_programs import amx; amx.refuse()"
    saying = "print(ask(158, 0x1023, 18), ctypes.get_errno(), ask(39) > 0)"
    environment = {"PYTHONPATH": str(BENCHMARKS)}
    code = f"{asking}; {refusing}; {saying}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-1", str(errno.EPERM), "True"]


def test_ratios_are_of_rounds_and_bars_of_programs_that_ran() -> None:
    from peer_programs.programs import PROGRAMS
    from peer_programs.results import BARS, Measured, Results

    def measured(kind: str, *rounds: float, **known: Any) -> Measured:
        return Measured(
            kind=kind, runtime="tflite", precision="fp32", engine="LiteRT 2", round_ns=rounds, size_bytes=1, **known
        )

    ours = measured("ours", 2e6, 6e6, 4e6, pieces=1, outside=0, sqnr_db=127.04, agreeing=7, clips=8)
    results = Results(machine="here", clock="wall", threads=2, runs=1, programs=(ours, measured("bare", 2e6, 5e6, 2e6)))
    [(bar, ratios)] = results.bars()
    assert (bar.over, bar.under, ratios.tolist()) == ("ours-tflite-fp32", "bare-tflite-fp32", [1.0, 1.2, 2.0])
    text = results.markdown()
    assert "| ours / bare products | TFLite | fp32 | 1.20 | at most 1.0 | missed |" in text
    assert "| **ours**, TFLite | LiteRT 2 | fp32 | 4.0 ms |  |  | 127.0 dB | 7 of 8 | 1 (0) | 0.0 MB |" in text
    assert {name for bar in BARS for name in (bar.over, bar.under)} <= set(PROGRAMS)
