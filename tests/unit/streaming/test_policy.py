"""The policy: its sums by their definition, its decisions, and the page's JavaScript against Python's, to the bit."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.devices.web.place import page_folder
from dvfl_mobile.errors import InputError, UsageError
from dvfl_mobile.streaming.policy import Answers, Policy, probabilities_of, read_policy, series
from tests.javascript import run_by_chromium, run_by_node

SERIES = 1000
ANSWER_ALL = """given.map(({ policy, classes, rows }) => {
  const answers = new module.Answers(policy, classes);
  return rows.map(([seconds, logits]) => answers.add(seconds, logits));
})"""

Run = Callable[[Path, str, Any, Path], Any]


def random_series(seed: int) -> dict[str, Any]:
    """A policy and a stream: some smooth, some wild, some with ties, at even and at uneven times."""
    chance = random.Random(seed)
    classes, size = chance.randint(1, 9), chance.choice([0.0, 0.5, 3.0, 30.0])
    policy = Policy(
        every=chance.randint(1, 64),
        half_life_s=chance.choice([0.0, 0.1, 0.5, 7.0, chance.random()]),
        threshold=chance.choice([0.0, 0.3, 0.5, 1.0, chance.random()]),
        hysteresis=chance.choice([0.0, 0.1, chance.random() / 2]),
    )
    rows, seconds = [], chance.choice([0.0, 1e6 * chance.random()])
    for _ in range(chance.randint(1, 40)):
        seconds += chance.choice([policy.every / 30, chance.random(), 90.0])
        logits = [float(np.float32(chance.gauss(0, size))) for _ in range(classes)]
        if chance.random() < 0.2:
            logits = [float(round(logit)) for logit in logits]
        rows.append([seconds, logits])
    return {"policy": json.loads(policy.model_dump_json()), "classes": classes, "rows": rows}


def by_python(given: dict[str, Any]) -> list[dict[str, Any]]:
    answers = series(Policy(**given["policy"]), [at for at, _ in given["rows"]], [row for _, row in given["rows"]])
    return [
        {"label": each.label, "probability": each.probability, "probabilities": list(each.probabilities)}
        for each in answers
    ]


@pytest.mark.parametrize("run", [run_by_node, run_by_chromium])
def test_javascript_gives_the_same_to_the_bit(run: Run, tmp_path: Path) -> None:
    given = [random_series(seed) for seed in range(SERIES)]
    expected = [by_python(each) for each in given]
    labels = {answer["label"] for answers in expected for answer in answers}
    assert {None, 0, 1, 2} < labels
    assert run(page_folder() / "policy.js", ANSWER_ALL, given, tmp_path) == expected


def test_the_softmax_is_the_usual_one() -> None:
    logits = np.random.default_rng(0).normal(0, 8, (500, 11))
    odds = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(probabilities_of(logits), odds / odds.sum(1, keepdims=True), rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("step_s", [1 / 30, 8 / 30, 0.5])
def test_after_a_half_life_half_is_left_at_any_stride(step_s: float) -> None:
    steps = round(2 / step_s)
    times = [index * step_s for index in range(steps + 1)]
    logits = [[40.0, 0.0], *([[0.0, 40.0]] * steps)]
    last = series(Policy(half_life_s=2 * steps * step_s / 2), times, logits)[-1]
    assert last.probabilities == pytest.approx((0.5, 0.5), abs=2e-9)


def odds(*shares: float) -> list[float]:
    return [math.log(share) for share in shares]


def said(policy: Policy, *rows: list[float]) -> list[int | None]:
    return [answer.label for answer in series(policy, range(len(rows)), rows)]


def test_a_label_is_said_from_the_threshold_on() -> None:
    policy = Policy(half_life_s=0, threshold=0.6, hysteresis=0)
    assert said(policy, odds(0.59, 0.41), odds(0.6, 0.4), odds(0.59, 0.41), odds(0.3, 0.7)) == [None, 0, None, 1]


def test_what_was_said_is_kept_within_the_hysteresis() -> None:
    policy = Policy(half_life_s=0, threshold=0.6, hysteresis=0.1)
    rows = [odds(0.5, 0.5), odds(0.6, 0.4), odds(0.5, 0.5), odds(0.49, 0.51), odds(0.5, 0.5), odds(0.39, 0.61)]
    assert said(policy, *rows) == [None, 0, 0, None, None, 1]


def test_another_that_is_ahead_by_more_takes_its_place() -> None:
    policy = Policy(half_life_s=0, threshold=0.3, hysteresis=0.1)
    rows = [odds(0.5, 0.4, 0.1), odds(0.4, 0.5, 0.1), odds(0.39, 0.5, 0.11), odds(0.45, 0.54, 0.01)]
    assert said(policy, *rows) == [0, 0, 1, 1]


def test_the_first_of_equals_is_said() -> None:
    assert said(Policy(half_life_s=0, threshold=0), [1.0, 1.0, 1.0]) == [0]


@pytest.mark.parametrize("logits", [[1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]]])
def test_other_logits_are_refused(logits: list[float]) -> None:
    with pytest.raises(UsageError, match="2 finite logits"):
        Answers(Policy(), 2).add(0.0, logits)


def test_time_goes_on() -> None:
    answers = Answers(Policy(), 2)
    answers.add(1.0, [0.0, 1.0])
    with pytest.raises(UsageError, match=r"at 1\.0 s can't follow"):
        answers.add(1.0, [0.0, 1.0])


def test_a_policy_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policy = Policy(every=16, half_life_s=0.25, threshold=0.7, hysteresis=0.05)
    path.write_text(policy.model_dump_json())
    assert read_policy(path) == policy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "can't be read"),
        ("", "is no policy: the document"),
        ("[]", "is no policy: the document"),
        ("{}", "has no every and no half_life_s"),
        ('{"every": 0}', "every: Input should be greater"),
        ('{"every": 1.5}', "every: Input should be a valid integer"),
        ('{"threshold": NaN}', "threshold: Input should be a finite number"),
        ('{"threshold": "0.5"}', "threshold: Input should be a valid number"),
        ('{"schema_version": 2}', "schema_version"),
        ('{"smoothing": 3}', "smoothing: Extra inputs"),
        (" " * 70_000, "too large"),
    ],
)
def test_a_damaged_policy_is_refused(text: str | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=problem) as refused:
        read_policy(path)
    assert str(path) in refused.value.problem


@pytest.mark.parametrize("change", [{"every": 1.5}, {"threshold": None}, {"hysteresis": 2}, {"smoothing": 1}])
def test_javascript_refuses_what_is_no_policy(change: dict[str, Any], tmp_path: Path) -> None:
    policy = {**json.loads(Policy().model_dump_json()), **change}
    call = '(() => { try { module.checkPolicy(given); return ""; } catch (error) { return error.message; } })()'
    assert next(iter(change)) in run_by_node(page_folder() / "policy.js", call, policy, tmp_path)
