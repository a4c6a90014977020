"""The table of targets, and the texts that are made of it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from dvfl_mobile import targets
from dvfl_mobile.cli.commands.convert import convert
from dvfl_mobile.cli.options import min_delegated_help, minimum_ios_help, target_help
from dvfl_mobile.errors import UsageError
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import Target, target_named


@pytest.mark.parametrize("target", targets.every(), ids=lambda target: target.name)
def test_an_entry_names_modules_that_are_there_and_recipes_that_are_known(target: Target) -> None:
    for module in (target.converter, target.runner, target.tracer, target.threaded):
        assert module is None or find_spec(module), module
    assert target.meanings.keys() | target.instead.keys() == RECIPES.keys()
    assert not target.meanings.keys() & target.instead.keys()
    assert bool(target.own_runtime_on) is bool(target.run_by)
    assert target_named(target.name) is target


def test_a_target_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="There is no target 'onnx'") as caught:
        target_named("onnx")
    assert caught.value.hint == "Choose from: executorch, coreml, tflite, coreai."


def test_help_is_made_of_the_table() -> None:
    assert target_help() == (
        "executorch, coreml, tflite or coreai; may be given several times. Default: all of the first three that are "
        "installed."
    )
    assert minimum_ios_help() == (
        "Core ML only: the oldest iOS to run on, 16, 17 or 18. Default: 17, or what the recipe needs."
    )
    assert min_delegated_help().endswith("with 7 where only the device knows (coreml, coreai).")


def test_the_help_of_convert_says_what_it_makes_without_a_target() -> None:
    *others, last = (target.title for target in targets.every() if not target.only_by_name)
    assert f"to {', '.join(others)} and {last}." in str(convert.__doc__)
