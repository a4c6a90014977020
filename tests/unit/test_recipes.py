"""Recipes: names that decode themselves, aliases, and which target carries which."""

from __future__ import annotations

import pytest

from dvfl_mobile.errors import UsageError
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.recipes import ALIASES, RECIPES, Recipe, check_carried, recipe_named
from dvfl_mobile.targets import TARGETS


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
def test_each_target_carries_a_recipe_or_says_why_not_and_what_would_do(recipe: Recipe) -> None:
    for target in TARGETS:
        assert (target in recipe.meaning) != (target in recipe.instead)
        if target in recipe.instead:
            why, other = recipe.instead[target]
            assert why
            assert target in RECIPES[other].meaning


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_recipe_has_thresholds_with_a_reason(recipe: str) -> None:
    assert thresholds_for(recipe).sqnr_reason
    assert thresholds_for(recipe).top1_reason


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_another_name_of_a_recipe(alias: str) -> None:
    assert alias not in RECIPES
    assert recipe_named(alias) is RECIPES[ALIASES[alias]]


def test_a_recipe_goes_through_json_and_comes_back() -> None:
    for recipe in RECIPES.values():
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        recipe_named("int3")
    assert "'int3'" in caught.value.problem
    assert "static_wi8_ai8" in caught.value.hint
    assert "w8a8 for static_wi8_ai8" in caught.value.hint


@pytest.mark.parametrize(
    ("recipe", "target", "instead"),
    [
        ("dynamic", "coreml", "weight_only_wi8_afp32"),
        ("w8", "executorch", "dynamic_wi8_afp32"),
        ("lut4", "tflite", "weight_only_wi4_afp32"),
    ],
)
def test_an_impossible_pair_is_refused_with_what_would_do(recipe: str, target: str, instead: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_carried(recipe_named(recipe), [target])
    assert target in caught.value.problem
    assert instead in caught.value.hint
