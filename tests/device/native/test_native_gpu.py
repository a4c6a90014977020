"""The native program on a GPU, or on a driver that plays one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dvfl_mobile.devices import vulkan
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.errors import UsageError
from dvfl_mobile.parity.thresholds import asked_thresholds
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.profiling.session import check_is_physical
from tests import gpus
from tests.device.native.conftest import Small

WHY = "a network of random weights in half precision"


@pytest.fixture(autouse=True)
def driver() -> Iterator[vulkan.Gpu]:
    with gpus.driver() as found:
        yield found


def test_it_computes_there_what_python_does(small: Small) -> None:
    artifact = small("tflite", "fp32")
    bar = asked_thresholds("fp32", 35, WHY)
    native, python = (check(artifact, most=2, device=name, thresholds=bar) for name in ("host:native+gpu", "gpu"))
    assert [report.verdict.value for report in (native, python)] == ["pass", "pass"]
    assert native.rows == python.rows
    assert (native.runner["delegate"], native.runner["asked_precision"]) == ("GPU", "float16")
    assert any("isn't measured" in note for note in native.notes)
    assert (artifact.folder / "parity-host_native_gpu.json").exists()


def test_it_is_timed_where_it_is_a_gpu(driver: vulkan.Gpu) -> None:
    device = find_device("host:native+gpu-fp32")
    assert device.facts.computes_in == "float32"
    if driver.kind == "cpu":
        with pytest.raises(UsageError, match="how long it takes says nothing"):
            check_is_physical(device)


@pytest.mark.parametrize("name", ["host+gpu", "gpu+gpu", "host:native+npu", "host:native+gpu-int8"])
def test_what_has_no_gpu_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="No artifact runs on"):
        find_device(name)
