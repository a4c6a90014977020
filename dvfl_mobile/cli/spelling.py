"""The command line's spelling of what messages name: flags, and commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import get_args

from dvfl_mobile.spelling import Command, Option, Spelling

# Of the options whose flag isn't the library's name with dashes.
_FLAGS = {
    "board": "--tensorboard",
    "global_batch": "--batch",
    "least": "--min-delegated",
    "min_sqnr_db": "--min-sqnr",
    "most": "--max-clips",
    "out": "-o",
    "pack_path": "--pack",
    "rival": "--against",
    "source": "--data",
    "sustained_s": "--sustained",
    "targets": "--target",
    "weight": "--alpha",
}

COMMAND_LINE = Spelling(
    options={name: f"{_FLAGS.get(name, '--' + name.replace('_', '-'))} {{}}" for name in get_args(Option)},
    commands={name: f"dvfl-mobile {name} {{}}" for name in get_args(Command)},
    comma=" ",
    for_shell=True,
)


def spelling_of(flags: Collection[str]) -> Spelling:
    """The spelling of a command that has these flags, and no others."""
    options = COMMAND_LINE.options
    return replace(COMMAND_LINE, lacking=[name for name in get_args(Option) if options[name].split()[0] not in flags])
