"""Parity in CI: the action and the GitLab job parse, their commands exist with those options, and their scripts run."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from dvfl_mobile.cli import main as frame
from tests.faults import quick

yaml = pytest.importorskip("yaml", reason="CI files are read with PyYAML")

CHECKOUT = Path(__file__).parents[3]
ACTION = CHECKOUT / ".github" / "actions" / "parity" / "action.yml"
WORKFLOW = CHECKOUT / ".github" / "workflows" / "ci.yml"
GITLAB = CHECKOUT / "integrations" / "gitlab" / "parity.yml"
JOB = ".dvfl-mobile-parity"

pytestmark = pytest.mark.skipif(not ACTION.exists(), reason="CI files are tested from a checkout")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def scripts(path: Path) -> str:
    """Every shell line of a file."""
    document = read(path)
    if path == GITLAB:
        return "\n".join(document[JOB]["script"])
    return "\n".join(step["run"] for step in document["runs"]["steps"] if "run" in step)


def commands() -> dict[str, Any]:
    return typer.main.get_command(frame._app()).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [ACTION, GITLAB], ids=["github", "gitlab"])
def test_the_commands_exist_with_those_options(path: Path) -> None:
    text = scripts(path)
    named = re.findall(r"dvfl-mobile (\w+)", text)
    assert {"convert", "parity"} <= set(named) <= set(commands())
    for name, options in (("convert", convert_options(text)), ("parity", parity_options(text))):
        known = {spelling for parameter in commands()[name].params for spelling in parameter.opts}
        assert options, name
        assert options <= known


def convert_options(text: str) -> set[str]:
    """The options that are gathered up to the command."""
    return options_in(text.split("dvfl-mobile convert")[0].rpartition("dvfl-mobile doctor")[2]) - {"--quiet"}


def parity_options(text: str) -> set[str]:
    return options_in(text.split("--junit", 1)[1].split("dvfl-mobile parity")[0]) | {"--junit"}


def options_in(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if "pip install" not in line and "python -c" not in line]
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]+", "\n".join(lines)))


@pytest.mark.parametrize("path", [ACTION, GITLAB], ids=["github", "gitlab"])
def test_the_scripts_are_shell(path: Path) -> None:
    shell = "bash" if path == ACTION else "sh"
    done = subprocess.run([shell, "-n"], input=scripts(path), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_no_input_is_pasted_into_a_script() -> None:
    assert "${{" not in scripts(ACTION)


def test_every_input_is_used_and_every_used_one_is_there() -> None:
    action = read(ACTION)
    text = ACTION.read_text(encoding="utf-8")
    used = set(re.findall(r"inputs\.([\w-]+)", text))
    assert used == set(action["inputs"])
    assert all("description" in one and "default" in one for one in action["inputs"].values())
    steps = {step["id"] for step in action["runs"]["steps"] if "id" in step}
    assert set(re.findall(r"steps\.([\w-]+)\.", text)) <= steps
    assert all(step["shell"] == "bash" for step in action["runs"]["steps"] if "run" in step)


def test_this_projects_own_ci_uses_the_action() -> None:
    jobs = read(WORKFLOW)["jobs"]
    [step] = [step for job in jobs.values() for step in job["steps"] if step.get("uses") == "./.github/actions/parity"]
    assert set(step["with"]) <= set(read(ACTION)["inputs"])


def test_the_documentation_names_inputs_and_variables_as_they_are() -> None:
    page = (CHECKOUT / "docs" / "ci.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([\w-]+)` \| .*? \| `?(.*?)`? \|$", page, re.MULTILINE))
    inputs = {name: str(one["default"]) for name, one in read(ACTION)["inputs"].items()}
    assert {name: documented.get(name) for name in inputs} == inputs
    for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        check_example(yaml.safe_load(block))


def check_example(document: Any) -> None:
    for step in every(document, "uses"):
        if "actions/parity" in step["uses"]:
            assert set(step.get("with", {})) <= set(read(ACTION)["inputs"])
    for job in every(document, "extends"):
        assert job["extends"] == JOB
        assert set(job["variables"]) <= set(read(GITLAB)[JOB]["variables"])
    for name, rest in re.findall(r"dvfl-mobile ([\w-]+)([^\n]*)", yaml.safe_dump(document, width=10_000)):
        known = {spelling for parameter in commands()[name].params for spelling in parameter.opts}
        assert options_in(rest) <= known


def every(document: Any, key: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, Mapping):
        if key in document:
            yield document
        for value in document.values():
            yield from every(value, key)
    elif isinstance(document, list):
        for value in document:
            yield from every(value, key)


# The steps with a script of their own are run as a runner would, with quick converters in place of the real ones.


class Runner:
    """Runs an action's scripts one after the other, as far as this project needs it.

    Args:
        command: what they call as `dvfl-mobile`.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self.folder, self.log, self.outputs = folder, "", {}
        self.summary = folder / "summary.md"
        tool = folder / "bin" / "dvfl-mobile"
        tool.parent.mkdir()
        tool.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        tool.chmod(tool.stat().st_mode | stat.S_IXUSR)

    def run(self, step: Mapping[str, Any], inputs: Mapping[str, str]) -> int:
        output = self.folder / "output"
        output.write_text("")
        env = {name: self.filled(str(value), inputs) for name, value in step.get("env", {}).items()}
        files = {"GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(self.summary)}
        path = {"PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        quiet = {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            env=os.environ | env | files | path | quiet,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        self.log += done.stdout + done.stderr
        self.outputs[step["id"]] = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode

    def filled(self, text: str, inputs: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            where, *rest = match[1].split(".")
            return inputs[rest[0]] if where == "inputs" else self.outputs[rest[0]][rest[2]]

        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", value, text)


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    program = [quick.__file__, "none"]
    if sys.platform != "linux":
        yield Runner(tmp_path, shlex.join([sys.executable, "-P", *program]))
        return
    from tests import warm

    with warm.instead(program, tmp_path / "socket") as command:
        yield Runner(tmp_path, command)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.model.student import save_student
    from tests.checkpoints import SMALL

    path = tmp_path_factory.mktemp("weights") / "a checkpoint.safetensors"
    save_student(seeded_student(SMALL), path)
    return path


def inputs_with(**given: str) -> dict[str, str]:
    defaults = {name: one["default"] for name, one in read(ACTION)["inputs"].items()}
    return defaults | {name.replace("_", "-"): value for name, value in given.items()}


def run_action(runner: Runner, inputs: Mapping[str, str], *ids: str) -> list[int]:
    steps = {step["id"]: step for step in read(ACTION)["runs"]["steps"] if "run" in step}
    return [runner.run(steps[name], inputs) for name in ids]


def test_the_action_converts_checks_annotates_and_sums_up(checkpoint: Path, tmp_path: Path, runner: Runner) -> None:
    from tests.conversions import skip_without

    skip_without("tflite")
    skip_without("coreml")
    inputs = inputs_with(checkpoint=str(checkpoint), recipe="fp16")
    assert run_action(runner, inputs, "keys", "artifact", "parity") == [0, 0, 0], runner.log
    assert runner.outputs["keys"]["artifact"] == "dvfl-mobile-artifact-tflite-fp16-"
    assert re.fullmatch("[0-9a-f]{16}", runner.outputs["keys"]["pip"])
    assert runner.outputs["parity"]["verdict"] == "pass"
    assert runner.outputs["artifact"]["folder"].endswith("/tflite/fp16")
    assert "**pass**" in runner.summary.read_text()
    assert (tmp_path / "parity-reports" / "parity.xml").is_file()
    assert "::notice file=out/" in runner.log

    failing = inputs | {"min-sqnr": "500", "because": "nothing is as good"}
    written = (tmp_path / "out").rglob("manifest.json")
    before = {path: path.stat().st_mtime_ns for path in written}
    assert run_action(runner, failing, "artifact", "parity") == [0, 0], "identical logits have an infinite SQNR"
    assert {path: path.stat().st_mtime_ns for path in before} == before, "it was made anew"
    assert "Because: nothing is as good" in runner.summary.read_text()
    assert run_action(runner, inputs | {"min-sqnr": "40"}, "parity") == [2]
    assert runner.outputs["parity"]["verdict"] == "error"

    undecided = inputs_with(checkpoint=str(checkpoint), target="coreml", inconclusive="warn")
    assert run_action(runner, undecided, "artifact", "parity") == [0, 0]
    if runner.outputs["parity"]["verdict"] == "inconclusive":
        assert "::warning " in runner.log
        assert run_action(runner, undecided | {"inconclusive": "fail"}, "parity") == [7]


def test_the_gitlab_job_runs(checkpoint: Path, tmp_path: Path, runner: Runner) -> None:
    from tests.conversions import skip_without

    skip_without("tflite")
    variables = {name: str(value) for name, value in read(GITLAB)[JOB]["variables"].items()}
    script = "\n".join(line for line in read(GITLAB)[JOB]["script"] if "pip install" not in line)
    step = {"id": "job", "run": script, "env": variables | {"DVFL_CHECKPOINT": str(checkpoint)}}
    assert runner.run(step, {}) == 0, runner.log
    assert (tmp_path / "parity.xml").is_file()
    assert json.loads((tmp_path / "convert.json").read_text())["artifacts"][0]["manifest"]["target"] == "tflite"
