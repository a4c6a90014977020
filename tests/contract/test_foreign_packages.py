"""Core ML packages that this project didn't make: networks of other kinds, straight through coremltools, executed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dvfl_mobile.cli.main import main
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.mil.executor import MilExecutor
from tests.conversions import skip_without

CLASSES = ["cat", "dog", "newt"]


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm with statistics of its own, and hard swish."""
    norm = nn.BatchNorm2d(outputs)
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(0.5, 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups), norm, nn.Hardswish())


class Excited(nn.Module):
    """A block of MobileNetV3: depthwise, squeeze and excitation, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise, self.pointwise = _conv(channels, channels, 5, groups=channels), _conv(channels, channels, 1)
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x)
        share = functional.hardsigmoid(self.up(functional.relu(self.down(functional.adaptive_avg_pool2d(y, 1)))))
        return x + self.pointwise(y * share)


class Classifier(nn.Module):
    """Pictures to probabilities: convolutions, pools, a flattened head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.wide = _conv(3, 64, stride=2), Excited(64), _conv(64, 128, stride=2)
        self.head = nn.Linear(128, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.wide(self.block(self.stem(x))), 3, 2, 1)
        return torch.softmax(self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1)), 1)


class Detector(nn.Module):
    """A one-stage detector: two scales, upsampling, pooled pyramid, boxes decoded to pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high, self.mixed = _conv(3, 32, stride=2), _conv(32, 64, stride=2), _conv(32 + 3 * 64, 64)
        self.head = nn.Conv2d(64, 4 + len(CLASSES), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.low(x)
        high = self.high(low)
        pyramid = torch.cat([high, *(functional.max_pool2d(high, size, 1, size // 2) for size in (3, 5))], 1)
        raised = functional.interpolate(pyramid, scale_factor=2.0, mode="nearest")
        found = self.head(self.mixed(torch.cat([low, raised], 1))).flatten(2).transpose(1, 2)
        boxes, scores = found.split([4, len(CLASSES)], -1)
        centre, size = boxes.sigmoid().chunk(2, -1)
        return torch.cat([centre - size / 2, centre + size / 2], -1), scores.sigmoid()


class Transformer(nn.Module):
    """Patches with attention, as in a vision transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 64, 8, 8), nn.LayerNorm(64)
        self.qkv, self.out = nn.Linear(64, 192), nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(self.norm(tokens)).reshape(1, -1, 3, 4, 16).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(tokens.shape)
        return functional.gelu(tokens + self.out(mixed)).mean(1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "classifier": Classifier,
    "detector": Detector,
    "transformer": Transformer,
}


@pytest.fixture(autouse=True)
def _needs_coremltools() -> None:
    skip_without("coreml")


def picture(seed: int = 0) -> np.ndarray:
    """Pixels of 0 to 255, `(1,3,64,64)`."""
    return np.random.default_rng(seed).integers(0, 256, (1, 3, 64, 64)).astype(np.float32)


def package(network: nn.Module, path: Path, *, image: bool = False, classes: bool = False, half: bool = False) -> Any:
    import coremltools as ct

    size = (1, 3, 64, 64)
    taken = ct.ImageType("x", size, scale=1 / 127.5, bias=[-1, -1, -1]) if image else ct.TensorType("x", size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ct.convert(
            torch.export.export(network, (torch.zeros(size),)).run_decompositions({}),
            convert_to="mlprogram",
            inputs=[taken],
            classifier_config=ct.ClassifierConfig(CLASSES) if classes else None,
            compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS18,
            skip_model_load=True,
        )
    model.save(str(path))
    return model


def made(name: str) -> nn.Module:
    torch.manual_seed(7)
    return NETWORKS[name]().eval()


def answers(network: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        given = network(torch.from_numpy(x))
    return [each.double().numpy() for each in (given if isinstance(given, tuple) else (given,))]


# Sums are taken in another order than PyTorch's: 120 dB; half precision rounds at 66 dB, and adds up through the depth.
@pytest.mark.parametrize(("half", "least_db"), [(False, 110), (True, 45)], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_what_pytorch_computes(tmp_path: Path, name: str, half: bool, least_db: float) -> None:
    network = made(name)
    package(network, tmp_path / "m.mlpackage", half=half)
    x = picture() / 127.5 - 1
    given = MilExecutor(tmp_path / "m.mlpackage").run({"x": x})
    for expected, found in zip(answers(network, x), given.values(), strict=True):
        assert sqnr_db(expected, found.astype(np.float64)) > least_db


def test_a_classifier_of_images_gives_labels_and_probabilities(tmp_path: Path) -> None:
    network = made("classifier")
    package(network, tmp_path / "m.mlpackage", image=True, classes=True)
    x = picture()
    given = MilExecutor(tmp_path / "m.mlpackage").run({"x": x})
    [expected] = answers(network, x / 127.5 - 1)
    label, shares = given["classLabel"], next(value for value in given.values() if isinstance(value, dict))
    assert label == CLASSES[int(expected.argmax())]
    assert list(shares) == CLASSES
    np.testing.assert_allclose(list(shares.values()), expected[0], atol=1e-5)


@pytest.mark.parametrize("bits", [4, 6])
@pytest.mark.parametrize("name", NETWORKS)
def test_palettized_weights_are_those_that_coremltools_unpacks(tmp_path: Path, name: str, bits: int) -> None:
    from coremltools.optimize import coreml as optimize

    model = package(made(name), tmp_path / "whole.mlpackage")
    rule = optimize.OpPalettizerConfig(nbits=bits, mode="kmeans", weight_threshold=64)
    small = optimize.palettize_weights(model, optimize.OptimizationConfig(rule))
    small.save(str(tmp_path / "small.mlpackage"))
    optimize.decompress_weights(small).save(str(tmp_path / "unpacked.mlpackage"))
    x = {"x": picture() / 127.5 - 1}
    palettized, unpacked = (MilExecutor(tmp_path / f"{each}.mlpackage").run(x) for each in ("small", "unpacked"))
    whole = MilExecutor(tmp_path / "whole.mlpackage").run(x)
    for key, found in palettized.items():
        assert sqnr_db(unpacked[key].astype(np.float64), found.astype(np.float64)) > 110
        assert sqnr_db(whole[key].astype(np.float64), found.astype(np.float64)) < 100, "it really is another network"


def ask(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, words)])
    return int(ended.value.code or 0)


@pytest.fixture
def theirs(tmp_path: Path) -> tuple[Path, Path, dict[str, np.ndarray]]:
    """A detector's package, where its reference goes, and what stands in it: two samples and PyTorch's answers."""
    network = made("detector")
    package(network, tmp_path / "theirs.mlpackage")
    samples = [picture(seed) / 127.5 - 1 for seed in (1, 2)]
    given = zip(*(answers(network, x) for x in samples), strict=True)
    names = [each.name for each in MilExecutor(tmp_path / "theirs.mlpackage").outputs]
    arrays = {"x": np.stack(samples)} | dict(zip(names, map(np.stack, given), strict=True))
    return tmp_path / "theirs.mlpackage", tmp_path / "ref.npz", arrays


@pytest.mark.parametrize("command", ["check-package", "parity"])
def test_somebody_s_package_is_held_against_their_answers(
    command: str, theirs: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path, reference, arrays = theirs
    np.savez(reference, **arrays)
    assert ask(command, path, "--reference", reference, "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["verdict"], report["samples"], report["computes_in"]) == ("pass", 2, "fp32")
    assert [row["name"] for row in report["outputs"]] == [name for name in arrays if name != "x"]
    assert all(row["sqnr_db"] > 110 for row in report["outputs"])
    assert "reference executor" in report["notes"][0]

    wrong = list(arrays)[1]
    np.savez(reference, **(arrays | {wrong: arrays[wrong] * 1.01}))
    assert ask(command, path, "--reference", reference) == 5
    out = capfd.readouterr().out
    assert out.startswith("FAIL")
    assert "39.9 dB" in out or "40.0 dB" in out
    assert ask(command, path, "--reference", reference, "--min-sqnr", "30", "--because", "a hundredth is meant") == 0


def test_a_reference_that_does_not_go_with_the_package_is_refused(
    theirs: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path, reference, arrays = theirs
    assert ask("parity", path) == 2
    assert "--reference ref.npz" in capfd.readouterr().err
    for change, said in (
        ({"x": arrays["x"][:, :, :2]}, "samples of shape (1, 2, 64, 64)"),
        ({"x": arrays["x"][:1]}, "hold [1, 2] samples"),
    ):
        np.savez(reference, **(arrays | change))
        assert ask("parity", path, "--reference", reference) == 3
        assert said in capfd.readouterr().err
    np.savez(reference, x=arrays["x"])
    assert ask("parity", path, "--reference", reference) == 3
    assert "ref.npz has no " in capfd.readouterr().err
    reference.write_bytes(b"PK and no more")
    assert ask("parity", path, "--reference", reference) == 3
    assert "can't be read as an .npz" in capfd.readouterr().err
