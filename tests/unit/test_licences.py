"""Licences that a user has to accept: by a variable, or once and for good, and for one text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from dvfl_mobile import licences
from dvfl_mobile.cli.main import main
from dvfl_mobile.converters.base import versions
from dvfl_mobile.errors import MissingDependencyError, UnfitDependencyError, UsageError
from dvfl_mobile.licences import LICENCES, YES, accept, check_accepted, state_of
from dvfl_mobile.targets import target_named

QUALCOMM = LICENCES["qualcomm"]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The licence's text, as the package seems to bring it; nobody has accepted it."""
    found = tmp_path / "licence.pdf"
    found.write_bytes(b"the first text")
    monkeypatch.setattr(licences, "text_of", lambda _: found)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(QUALCOMM.variable, raising=False)
    return found


def test_one_that_is_not_accepted_keeps_from_going_on(text: Path) -> None:
    with pytest.raises(UnfitDependencyError) as caught:
        check_accepted("qualcomm")
    assert caught.value.exit_code == 4
    assert str(text) in caught.value.problem
    assert f"{QUALCOMM.variable}={YES}" in caught.value.hint
    assert "accept" in caught.value.hint


@pytest.mark.usefixtures("text")
def test_a_variable_accepts_it_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "no", "1", "YES "):
        monkeypatch.setenv(QUALCOMM.variable, value)
        assert not state_of(QUALCOMM).is_accepted
    monkeypatch.setenv(QUALCOMM.variable, YES)
    check_accepted("qualcomm")
    monkeypatch.delenv(QUALCOMM.variable)
    assert not state_of(QUALCOMM).is_accepted


def test_it_is_accepted_once_and_another_text_anew(text: Path, tmp_path: Path) -> None:
    assert accept("qualcomm").is_accepted
    check_accepted("qualcomm")
    text.write_bytes(b"the second text")
    with pytest.raises(UnfitDependencyError):
        check_accepted("qualcomm")
    remembered = tmp_path / "config/dvfl-mobile/licences.json"
    assert json.loads(remembered.read_text()).keys() == {"qualcomm"}
    for damaged in ("", "[]", "{", '{"qualcomm": 1}'):
        remembered.write_text(damaged)
        assert not state_of(QUALCOMM).is_accepted


@pytest.mark.usefixtures("text")
def test_a_target_is_not_converted_to_before_that() -> None:
    needed = replace(target_named("qualcomm"), packages=("numpy",))
    with pytest.raises(UnfitDependencyError):
        versions(needed)
    accept("qualcomm")
    assert versions(needed).keys() == {"numpy"}


def test_one_that_nothing_here_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(QUALCOMM, package="no-such-package")
    monkeypatch.setattr(licences, "LICENCES", MappingProxyType({"qualcomm": gone}))
    assert state_of(gone).text is None
    with pytest.raises(MissingDependencyError, match="no-such-package isn't installed"):
        accept("qualcomm")
    other = replace(QUALCOMM, package="numpy", file="numpy/no-such.pdf")
    monkeypatch.setattr(licences, "LICENCES", MappingProxyType({"qualcomm": other}))
    with pytest.raises(UnfitDependencyError, match=r"doesn't bring numpy/no-such\.pdf"):
        accept("qualcomm")


def test_there_is_no_other() -> None:
    with pytest.raises(UsageError, match="There is no licence 'mit' to accept"):
        check_accepted("mit")


def test_doctor_shows_and_accepts_it(text: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def run_command(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert isinstance(end.value.code, int)
        return end.value.code, capfd.readouterr().out

    code, out = run_command("doctor")
    assert code == 0
    assert str(text) in out
    assert "not accepted: Qualcomm's AI Stack License, of onnxruntime-qnn" in out
    assert "To accept it: dvfl-mobile doctor --accept-licence qualcomm" in out
    assert QUALCOMM.about in out
    assert run_command("doctor", "--accept-licence", "mit")[0] == 2
    code, out = run_command("doctor", "--accept-licence", "qualcomm", "--json")
    assert (code, json.loads(out)["licences"][0]["is_accepted"]) == (0, True)
    assert QUALCOMM.about not in run_command("doctor")[1]
