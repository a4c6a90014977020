"""What may stand beside weights in a checkpoint: all that torch's own `weights_only` takes, and numpy's numbers."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.checkpoint.known_names import allowed, storage_item_bytes
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.checkpoint.pickles import read_pickle
from dvfl_mobile.model.checkpoint.usual_calls import is_usual_call
from tests.checkpoints import small_weights

TENSOR = torch.arange(12.0).reshape(3, 4)


def _schedule() -> Any:
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), 0.1)
    return torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60, 60]).state_dict()


def _with_attribute(tensor: Any) -> Any:
    tensor.partition_dim = 0
    return tensor


BESIDE: dict[str, Any] = {
    "schedule": _schedule(),
    "counter": collections.Counter("abca"),
    "set": {1, 2},
    "bytes": b"\x00\xffabc",
    "bytearray": bytearray(b"abc\xff"),
    "empty bytearray": bytearray(),
    "complex": 1 + 2j,
    "size": torch.Size([1, 2]),
    "device": torch.device("cuda:1"),
    "layout": torch.sparse_coo,
    "dtype": torch.float8_e4m3fn,
    "quantization": torch.per_channel_affine,
    "class": torch.cuda.FloatTensor,
    "storage": TENSOR.storage(),
    "untyped storage": TENSOR.untyped_storage(),
    "complex tensor": TENSOR.to(torch.complex64),
    "conjugate": TENSOR.to(torch.complex64).conj(),
    "float8": TENSOR.to(torch.float8_e5m2),
    "uint16": TENSOR.to(torch.uint16),
    "coo": TENSOR.to_sparse(),
    "csr": TENSOR.to_sparse_csr(),
    "bsr": torch.eye(4).to_sparse_bsr((2, 2)),
    "quantized": torch.quantize_per_tensor(TENSOR, 0.1, 3, torch.qint8),
    "quantized by channel": torch.quantize_per_channel(
        TENSOR, torch.ones(3), torch.zeros(3, dtype=torch.long), 0, torch.quint8
    ),
    "nested": torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(3, 3)]),
    "meta": torch.empty(10**9, device="meta"),
    "parameter": torch.nn.Parameter(TENSOR),
    "tensor with attributes": _with_attribute(TENSOR.clone()),
    "parameter with attributes": _with_attribute(torch.nn.Parameter(TENSOR.clone())),
    "generator": torch.get_rng_state(),
}
OF_NUMPY: dict[str, Any] = {
    "accuracy": np.float64(0.525),
    "loss": np.float32(1.5),
    "epoch": np.int64(71),
    "is_best": np.bool_(True),
    "curve": np.arange(5.0),
    "random": np.random.RandomState(0).get_state(),
    "type": np.dtype("float32"),
    "class": np.float32,
}


@pytest.mark.parametrize("name", sorted(allowed()))
def test_every_name_of_torch_s_own_list_is_known(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert read_pickle(f"\x80\x02c{module}\n{attribute}\n.".encode("latin-1")).end


def test_a_name_that_torch_adds_to_its_list_is_seen_here() -> None:
    """What may be called is written down: torch may come to call more, and then its calls have to be looked at."""
    kinds = (torch.dtype, torch.qscheme, torch.serialization.StorageType)
    classes = (*torch._tensor_classes, torch.storage.TypedStorage, torch.storage.UntypedStorage, torch.Tensor)
    called = {
        name
        for name, value in allowed().items()
        if not isinstance(value, kinds) and all(value is not c for c in classes)
    }
    # A class of somebody's own, which has to be named too, and a device tensor of numpy, which isn't on the list.
    never = {"torch._utils._rebuild_wrapper_subclass", "torch._utils._rebuild_device_tensor_from_numpy"}
    from dvfl_mobile.model.checkpoint import usual_calls

    assert called - never <= usual_calls._CALLS.keys()
    assert all(size > 0 for size in storage_item_bytes().values())


@pytest.mark.parametrize("name", BESIDE)
def test_what_torch_takes_is_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save({"model": small_weights(), "beside": BESIDE[name], "config": None}, path)
    assert torch.load(path, weights_only=True)
    assert load_checkpoint(path, size=64).network.state_dict().keys() == small_weights().keys()


@pytest.mark.parametrize("name", OF_NUMPY)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_numbers_of_numpy_are_passed_over(name: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save({"model": small_weights(), name: OF_NUMPY[name]}, path, _use_new_zipfile_serialization=zipped)
    assert load_checkpoint(path, size=64).network.state_dict().keys() == small_weights().keys()


@pytest.mark.parametrize("name", ["nested", "meta", "coo", "quantized", "complex tensor"])
def test_a_weight_that_is_no_plain_tensor_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save({**small_weights(), "head.weight": BESIDE[name]}, path)
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("builtins.bytearray", (10**9,)),
        ("builtins.complex", ("1" * 10**6,)),
        ("builtins.set", ("abc",)),
        ("_codecs.encode", ("abc", "zip")),
        ("_codecs.encode", (b"abc", "hex")),
        ("collections.Counter", (10**9,)),
        ("torch.FloatTensor", (10**9,)),
        ("torch.FloatStorage", (10**9,)),
        ("torch.Tensor", (10**9,)),
        ("torch.storage.UntypedStorage", (10**9,)),
        ("torch.nn.parameter.Parameter", (1,)),
        ("torch.serialization._get_layout", (1,)),
        ("torch._utils._rebuild_sparse_tensor", ("torch.sparse_coo", ())),
        ("torch._utils._rebuild_meta_tensor_no_storage", ("float32", (1,), (1,), False)),
        ("torch._utils._rebuild_wrapper_subclass", ()),
        ("torch._utils._rebuild_device_tensor_from_numpy", ()),
        ("torch._tensor._rebuild_from_type_v2", (1, 2, (), {})),
    ],
)
def test_a_known_name_is_called_as_torch_save_does_or_not_at_all(name: str, arguments: tuple[Any, ...]) -> None:
    assert not is_usual_call(name, arguments)


@pytest.mark.parametrize("attribute", ["data", "grad", "clone", "__class__", "_backward_hooks"])
def test_an_attribute_in_the_place_of_a_tensor_s_own_is_refused(attribute: str, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    # As long as the names that are tried, for one to be put in the place of the other.
    setattr(parameter := torch.nn.Parameter(TENSOR.clone()), "x" * len(attribute), 0)
    torch.save({"model": small_weights(), "beside": parameter}, path, _use_new_zipfile_serialization=False)
    assert load_checkpoint(path, size=64)
    path.write_bytes(path.read_bytes().replace(b"x" * len(attribute), attribute.encode()))
    with pytest.raises(CheckpointError, match="_rebuild_parameter_with_state as torch"):
        load_checkpoint(path)


@pytest.mark.parametrize("spread", ["quantized", "coo"])
def test_what_torch_would_copy_is_not_spread_over_fewer_numbers(spread: str, tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    if spread == "coo":
        indices, values = torch.zeros(1, 1, dtype=torch.long).expand(1, 2**40), torch.zeros(1).expand(2**40)
        value = torch.sparse_coo_tensor(indices, values, (4,), check_invariants=False)
    else:
        value = torch.quantize_per_tensor(torch.zeros(1), 0.1, 0, torch.qint8).expand(2**40)
    torch.save({"model": small_weights(), "beside": value}, path)
    with pytest.raises(CheckpointError, match="as torch"):
        load_checkpoint(path)
