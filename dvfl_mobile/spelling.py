"""How a message names what its reader can give or call: a parameter of ours, which the command line calls a flag.

A message is written once, below `cli/`, with `option("clips")` where it names what is missing. To whoever calls the
library that reads `clips=`; to whoever runs the command line, which is `speaking` its own `Spelling`, `--clips`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

Option = Literal[
    "accept_licence",
    "address",
    "against",
    "allow_leaks",
    "average",
    "because",
    "board",
    "calib",
    "clip_gradient",
    "clips",
    "compute_units",
    "confidence",
    "cores",
    "crop_area",
    "cutmix",
    "data",
    "data_root",
    "debug",
    "device",
    "drop_path",
    "epochs",
    "flip",
    "frames",
    "global_batch",
    "grey",
    "history_file",
    "html",
    "init",
    "jitter",
    "json",
    "keep",
    "label_smoothing",
    "labels",
    "learning_rate",
    "least",
    "locate",
    "max_calls",
    "max_drop",
    "micro_batch",
    "min_agreement",
    "min_sqnr_db",
    "minimum_ios",
    "mixup",
    "model",
    "most",
    "operators",
    "optimizer",
    "out",
    "pack_path",
    "precision",
    "recipe",
    "reference",
    "rival",
    "runs",
    "seed",
    "sensitivity",
    "size",
    "soc",
    "source",
    "sustained_s",
    "targets",
    "teacher",
    "temperature",
    "threads",
    "validate",
    "warmup",
    "warmup_epochs",
    "weight",
    "weights",
    "weight_decay",
    "workers",
]
"""What messages name: parameters of the library's functions and fields of its plans, by their names there."""

Command = Literal[
    "convert", "devices", "doctor", "evaluate", "inspect", "pack", "parity", "profile", "quantize", "train"
]


@dataclass(frozen=True)
class Spelling:
    """How one kind of reader spells what they can give and call; plain texts, so that it can be sent to a process.

    Attributes:
        options: of each option, with `{}` where its value goes.
        commands: of each command, with `{}` where its arguments go.
        comma: between arguments.
        lacking: options that what runs now doesn't have, though other commands do.
        for_shell: whether a shell reads it, so that a value with a blank in it needs quotes.
    """

    options: Mapping[str, str]
    commands: Mapping[str, str]
    comma: str
    lacking: Sequence[Option] = ()
    for_shell: bool = False


# What only the command line has is said in other words.
_OTHER_WORDS = {
    "against": "against {}",
    "debug": "stderr",
    "html": "`html()`",
    "json": "the document",
    "locate": "`locate()`",
    "rival": "a second artifact",
    "sensitivity": "`sensitivity()`",
}
FUNCTIONS: Mapping[str, str] = {
    "convert": "dvfl_mobile.convert",
    "devices": "dvfl_mobile.devices.base.found_devices",
    "doctor": "dvfl_mobile.devices.environment.look_around",
    "evaluate": "dvfl_mobile.evaluate",
    "inspect": "dvfl_mobile.open_artifact",
    "pack": "dvfl_mobile.pack.making.build.build",
    "parity": "dvfl_mobile.check",
    "profile": "dvfl_mobile.profiling.fleet.profile_fleet",
    "quantize": "dvfl_mobile.quantize",
    "train": "dvfl_mobile.training.run.run",
}
"""What does in Python what a command does."""

PYTHON = Spelling(
    options={name: _OTHER_WORDS.get(name, f"`{name}={{}}`") for name in get_args(Option)},
    commands={name: f"`{function}({{}})`" for name, function in FUNCTIONS.items()},
    comma=", ",
)

# Of the whole process, as a locale is: messages are made in threads too.
_spoken = PYTHON


def spoken() -> Spelling:
    """How messages are spelled now."""
    return _spoken


def speak(spelling: Spelling) -> None:
    """Have every message that is made from here on spelled so."""
    global _spoken
    _spoken = spelling


@contextmanager
def speaking(spelling: Spelling) -> Iterator[None]:
    """Have every message that is made in this block spelled so."""
    before = spoken()
    speak(spelling)
    try:
        yield
    finally:
        speak(before)


def has_option(name: Option) -> bool:
    """Whether what runs now can be given it: no command has all of them."""
    return name not in _spoken.lacking


def option(name: Option, value: object = "") -> str:
    """`clips=`, or `clips=a.mp4` with a value; on the command line `--clips`, or `--clips a.mp4`."""
    return _spoken.options[name].format(_value(value)).rstrip()


def spelled(text: str) -> str:
    """A text of a table, in which `{clips}` stands for an option and `{quantize}` for a command."""
    names = {name: option(name) for name in get_args(Option)} | {name: command(name) for name in get_args(Command)}
    return text.format_map(names)


def command(name: Command, *arguments: object, **options: object) -> str:
    """`dvfl_mobile.check(ARTIFACT, device=host)`; on the command line `dvfl-mobile parity ARTIFACT --device host`."""
    given = [_spoken.options[key].format(_value(value)).strip("`") for key, value in options.items()]
    return _spoken.commands[name].format(_spoken.comma.join([*map(_value, arguments), *given])).rstrip()


def _value(value: object) -> str:
    text = str(value)
    return shlex.quote(text) if _spoken.for_shell and text else text
