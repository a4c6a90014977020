"""Messages name what is missing in the library's words, and the command line swaps in its flags."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from dvfl_mobile import files
from dvfl_mobile.cli.main import COMMANDS, _app
from dvfl_mobile.cli.spelling import COMMAND_LINE, spelling_of
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices import environment
from dvfl_mobile.devices.harness import protocol
from dvfl_mobile.devices.ios import devicectl
from dvfl_mobile.pack.judging import faults
from dvfl_mobile.progress import silent
from dvfl_mobile.spelling import (
    FUNCTIONS,
    PYTHON,
    Command,
    Option,
    command,
    has_option,
    option,
    speaking,
    spelled,
    spoken,
)
from dvfl_mobile.training.official import config
from tests.hints import flags_by_command, strange_flags
from tests.sources import modules

# No parameter of the library: what they tell of, only the command line has.
_COMMAND_LINE_ONLY = {"against", "debug", "html", "json", "locate", "rival", "sensitivity"}


def _flags() -> set[str]:
    def walk(node: Any) -> Iterator[str]:
        for parameter in node.params:
            if parameter.param_type_name == "option":
                yield from parameter.opts
        for below in getattr(node, "commands", {}).values():
            yield from walk(below)

    return set(walk(typer.main.get_command(_app())))


FLAG = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(_flags())))})(?![\w-])")
COMMAND = re.compile(rf"dvfl-mobile (?:{'|'.join(COMMANDS)})\b")


def _literals(path: Path) -> Iterator[ast.Constant]:
    """Every text in a module but its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documenting = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documenting:
            yield node


def test_no_message_below_the_command_line_names_a_flag() -> None:
    """A lone word is an argument of a program that is run, such as cmake."""
    found = [
        f"{name}, line {node.lineno}: {node.value!r}"
        for name, path in modules().items()
        if name.partition(".")[0] != "cli"
        for node in _literals(path)
        if COMMAND.search(node.value) or (" " in node.value.strip() and FLAG.search(node.value))
    ]
    found += [
        f"{name}, line {node.lineno}: a flag is composed"
        for name, path in modules().items()
        if name.partition(".")[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) and re.search(r"(?<![\w(-])--\{", ast.unparse(node))
    ]
    assert found == []


def test_every_option_is_a_name_of_the_library() -> None:
    known = set()
    for name, path in modules().items():
        if name.partition(".")[0] != "cli":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.arg):
                    known.add(node.arg)
                elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    known.add(node.target.id)
    assert set(get_args(Option)) - known - _COMMAND_LINE_ONLY == set()


def test_every_option_is_a_flag() -> None:
    assert {name for name in get_args(Option) if COMMAND_LINE.options[name].split()[0] not in _flags()} == set()


def test_every_command_is_one_and_a_function() -> None:
    assert set(get_args(Command)) <= set(COMMANDS)
    for name in get_args(Command):
        module, _, function = FUNCTIONS[name].rpartition(".")
        assert callable(getattr(importlib.import_module(module), function)), name


def test_options_and_commands_have_names_of_their_own() -> None:
    assert not set(get_args(Option)) & set(get_args(Command))


def test_the_library_speaks_python() -> None:
    assert spoken() is PYTHON
    assert option("clips") == "`clips=`"
    assert option("recipe", "static_wi8_ai8") == "`recipe=static_wi8_ai8`"
    assert command("convert") == "`dvfl_mobile.convert()`"
    assert command("parity", "ARTIFACT", device="host") == "`dvfl_mobile.check(ARTIFACT, device=host)`"
    assert spelled("{clips} or {quantize}") == "`clips=` or `dvfl_mobile.quantize()`"


def test_the_command_line_speaks_flags() -> None:
    with speaking(COMMAND_LINE):
        assert option("clips") == "--clips"
        assert option("out") == "-o"
        assert option("recipe", "static_wi8_ai8") == "--recipe static_wi8_ai8"
        assert command("convert") == "dvfl-mobile convert"
        assert command("parity", "ARTIFACT", device="host") == "dvfl-mobile parity ARTIFACT --device host"
        assert spelled("{clips} or {quantize}") == "--clips or dvfl-mobile quantize"
        assert option("device", "android:a (2)") == "--device 'android:a (2)'"
        assert command("inspect", "my out/a") == "dvfl-mobile inspect 'my out/a'", "fit for a shell"
    assert spoken() is PYTHON


def test_a_value_is_taken_as_it_is() -> None:
    """It may come from a file's name."""
    assert option("clips", "{json} {}") == "`clips={json} {}`"
    assert command("inspect", "{}/{json}") == "`dvfl_mobile.open_artifact({}/{json})`"


def test_a_command_hears_of_its_own_options_alone(run_command: Callable[..., tuple[int, str, str]]) -> None:
    for name, has_it in (("inspect", False), ("quantize", True)):
        with speaking(spelling_of(flags_by_command()[name])):
            assert has_option("calib") == has_it
    for name in ("convert", "deploy"):
        code, _, err = run_command(name, "--recipe", "w8a8", "--target", "tflite")
        assert code == 2
        assert "--calib" in err
        assert "dvfl-mobile quantize" in err


def test_an_option_that_a_command_lacks_is_seen() -> None:
    assert strange_flags(["convert", "x"], "Name them with --clips, or see: dvfl-mobile deploy --calib") == {"--clips"}
    assert strange_flags(["deploy", "x"], "Name clips with --calib or --clips.") == set()
    assert strange_flags(["convert", "x", "--clips"], "No such option: --clips") == set()


def test_whoever_calls_the_library_after_a_command_is_spoken_to_in_python(run_command: Callable[..., object]) -> None:
    run_command("inspect", "/nowhere")
    assert spoken() is PYTHON


@pytest.mark.parametrize(
    "table",
    [
        [hint for _, hint in files._OS_PROBLEMS.values()],
        environment._OTHER_EXTRAS.values(),
        protocol._HINTS.values(),
        [hint for _, hint in devicectl._HINTS],
        faults.MEANINGS.values(),
        [*config._REASONS.values(), *config._PREFIX_REASONS.values()],
    ],
    ids=["files", "environment", "protocol", "devicectl", "faults", "config"],
)
def test_every_text_of_a_table_can_be_spelled(table: list[str]) -> None:
    assert any(spelled(text) != text for text in table)


def test_the_same_note_reaches_each_in_their_words() -> None:
    def note() -> str:
        return gather_clips(None, ClipSpec(frames=2, size=32), ("a", "b"), silent, 1).facts.notes[0]

    assert "real video with `clips=` says more" in note()
    with speaking(COMMAND_LINE):
        assert "real video with --clips says more" in note()
