"""One conversion of a small student for each target and recipe, made when a test first asks and shared by all."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any
from unittest import mock

import pytest

from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.recipes import RECIPES
from tests.checkpoints import SMALL
from tests.conversions import Made, Make, recorded_graphs, skip_without
from tests.threads import threads

COMMAND = ["/somewhere/bin/dvfl-mobile", "convert", "--target", "a target"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that gives the small student's artifact for a target and a recipe."""
    out = tmp_path_factory.mktemp("contract") / "out"
    student = seeded_student(SMALL)

    def model_for(recipe: str) -> Any:
        if not RECIPES[recipe].is_calibrated:
            return student
        from tests.quantized import small_form

        return small_form(keep=("stage3.*",) if recipe == "auto" else (), recipe=recipe)

    @cache
    def make(target: str, recipe: str) -> Made:
        skip_without(target)
        plan = make_plan([target], recipe, out)
        with threads(2):
            with mock.patch.object(sys, "argv", COMMAND), recorded_graphs(target) as graphs:
                [artifact] = convert(model_for(recipe), plan)
            return Made(student, open_artifact(artifact.folder), check(artifact), tuple(graphs))

    return make
