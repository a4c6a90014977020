"""The official YAML configurations in our words, and what they say that has no counterpart."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.errors import InputError, MissingDependencyError, UsageError
from dvfl_mobile.training.choices import Choices, chosen_settings
from dvfl_mobile.training.official.config import OfficialConfig, read_official_config
from dvfl_mobile.training.settings import Augmentation, Distillation, TrainSettings

pytest.importorskip("yaml", reason="PyYAML isn't installed")

# The keys and values of the official configuration of a distilled nano on UCF101, written anew.
DISTILLED = """
DATA: {ROOT: data/ucf101/, TRAIN_FILE: data/ucf101/train.csv, VAL_FILE: data/ucf101/val.csv, DATASET: ucf101,
  NUM_FRAMES: 8, NUM_CLASSES: 101, LABEL_LIST: labels/ucf_101_labels.csv, BATCH_SIZE: 8}
MODEL:
  TYPE: videofocalnet_nano
  NAME: video-focalnet_nano
  DROP_PATH_RATE: 0.1
  NUM_CLASSES: 101
  FOCAL: {EMBED_DIM: 96, DEPTHS: [1, 1, 2, 1], FOCAL_LEVELS: [2, 2, 2, 2], FOCAL_WINDOWS: [3, 3, 3, 3]}
TRAIN: {BASE_LR: 0.1, WARMUP_LR: 0.001, MIN_LR: 0.001, EPOCHS: 120, WEIGHT_DECAY: 1e-4, OPTIMIZER: {NAME: "sgd"},
  WARMUP_EPOCHS: 20, PRETRAINED_PATH: ./pretrained/focalnet_tiny_srf.pth}
AUG: {FRAME_INTERVAL: 4, FLIP_RATIO: 0.5, COLOR_JITTER: 0.8, GRAY_SCALE: 0.2, MIXUP: 0.8, MIXUP_PROB: 0.5}
SAVE_FREQ: 10
KD: {ALPHA: 0.2, BETA: 0.3, GAMMA: 0.5, TEMPERATURE: 10}
TEACHER_MODEL: {TYPE: videofocalnet_base, DROP_PATH_RATE: 0.5, FOCAL: {EMBED_DIM: 128}}
"""


def read(folder: Path, text: str) -> OfficialConfig:
    path = folder / "official.yaml"
    path.write_text(text, encoding="utf-8")
    return read_official_config(path)


def settings_of(config: OfficialConfig, processes: int = 1, **given: Any) -> Any:
    return chosen_settings(Choices(**given), config, model="nano", processes=processes, distils=True)


def test_the_official_configuration_is_what_our_defaults_are(tmp_path: Path) -> None:
    config = read(tmp_path, DISTILLED)
    ours = chosen_settings(Choices(global_batch=8), None, model="nano", processes=1, distils=True)
    assert settings_of(config) == ours
    assert (config.model, config.data, config.frames, config.size, config.frame_interval) == (
        "nano", "ucf101", 8, 224, 4,
    )  # fmt: skip
    assert config.architecture["depths"] == (1, 1, 2, 1)


def test_what_has_no_counterpart_is_listed_with_the_reason(tmp_path: Path) -> None:
    unmapped = dict(read(tmp_path, DISTILLED).unmapped)
    assert unmapped.keys() == {
        "DATA.ROOT", "DATA.TRAIN_FILE", "DATA.VAL_FILE", "DATA.NUM_CLASSES", "DATA.LABEL_LIST", "MODEL.NUM_CLASSES",
        "TRAIN.PRETRAINED_PATH", "AUG.MIXUP_PROB", "SAVE_FREQ", "KD.BETA", "KD.GAMMA", "TEACHER_MODEL.TYPE",
        "TEACHER_MODEL.DROP_PATH_RATE", "TEACHER_MODEL.FOCAL.EMBED_DIM",
    }  # fmt: skip
    assert unmapped["KD.BETA"] == "the official code doesn't read it"
    assert "not known" not in unmapped.values()
    assert dict(read(tmp_path, "AUG: {NOVELTY: 3}").unmapped) == {"AUG.NOVELTY": "not known"}


def test_the_batch_grows_with_processes_and_accumulation(tmp_path: Path) -> None:
    config = read(tmp_path, "DATA: {BATCH_SIZE: 8}\nTRAIN: {ACCUMULATION_STEPS: 4}")
    settings = settings_of(config, processes=3)
    assert (settings.global_batch, settings.micro_batch) == (96, 8)


def test_what_a_file_leaves_out_is_as_the_official_code_has_it(tmp_path: Path) -> None:
    config = read(tmp_path, "DATA: {DATASET: hmdb51}")
    settings = settings_of(config)
    assert (settings.optimizer, settings.learning_rate, settings.epochs, config.frames) == ("adamw", 5e-4, 300, 32)
    assert settings.augmentation.jitter == 0.4


def test_without_mixup_there_is_no_cutmix_and_the_other_label_smoothing(tmp_path: Path) -> None:
    mixing = settings_of(read(tmp_path, "AUG: {MIXUP: 0, LABEL_SMOOTH: 0.3}\nMODEL: {LABEL_SMOOTHING: 0.2}"))
    assert (mixing.augmentation.cutmix, mixing.augmentation.label_smoothing) == (0, 0.2)


def test_options_win_over_the_configuration_and_it_over_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, DISTILLED)
    settings = settings_of(config, epochs=12, weight=0.9, mixup=0.0, clip_gradient=0.0)
    assert (settings.epochs, settings.warmup_epochs) == (12, 2)
    assert (settings.distillation.weight, settings.distillation.temperature) == (0.9, 10)
    assert (settings.augmentation.mixup, settings.augmentation.jitter) == (0, 0.8)
    assert settings.clip_gradient is None


def test_every_choice_is_a_setting() -> None:
    parts = (TrainSettings, Augmentation, Distillation)
    names = [name for part in parts for name in part.model_fields]
    for field in fields(Choices):
        assert names.count(field.name) == 1, field.name


def test_settings_that_cant_be_meant_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="micro_batch must be even"):
        chosen_settings(Choices(micro_batch=3), None, model="nano", processes=1, distils=False)
    with pytest.raises(UsageError, match="`optimizer=`: Input should be"):
        chosen_settings(Choices(optimizer="lion"), None, model="nano", processes=1, distils=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x [1]\nb: *x", "refers to parts of itself"),
        ("- 1\n- 2", "holds no configuration"),
        ("a: [1", "is not YAML"),
        ("a: !!python/object/apply:os.system [id]", "is not YAML"),
        ("x: " + "[" * 200_000, "nested deeper"),
        ("TRAIN: {EPOCHS: many}", "TRAIN.EPOCHS is 'many'"),
        ("TRAIN: {EPOCHS: 1.5}", "should be a whole number"),
        ("TRAIN: {EPOCHS: .inf}", "should be a whole number"),
        ("TRAIN: {OPTIMIZER: {BETAS: [a, b]}}", "should be two numbers"),
        ("TRAIN: {OPTIMIZER: {NAME: lion}}", "lion"),
        ("#" * 300_000, "larger than any"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read(tmp_path, text)


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingDependencyError, match="PyYAML"):
        read(tmp_path, "")
