"""Lists in the documentation equal the program's tables: commands, targets, recipes, thresholds, extras, devices."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import dvfl_mobile
from dvfl_mobile import targets
from dvfl_mobile.cli.main import COMMANDS
from dvfl_mobile.data.datasets import DATA_SETS
from dvfl_mobile.devices.kinds import KINDS
from dvfl_mobile.recipes import ALIASES, RECIPES
from dvfl_mobile.wording import percent

CHECKOUT = Path(__file__).parents[3]
DOCS = CHECKOUT / "docs"

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="docs are tested from a checkout, not from an installed wheel"
)


def table(page: str, first: str) -> list[list[str]]:
    """The cells of the one table of a page whose head begins with `first`, without its head."""
    text = (DOCS / page).read_text(encoding="utf-8")
    [found] = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[ |-]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|\n").split(" |")] for line in found.splitlines()]


def names(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def test_commands() -> None:
    assert {names(row[0])[0].split()[0] for row in table("command-line.md", "command")} == set(COMMANDS)


def test_targets() -> None:
    shown = {names(row[0])[0]: names(row[1])[0] for row in table("convert.md", "target | file")}
    assert shown == {target.name: target.file for target in targets.every()}
    head = (DOCS / "recipes.md").read_text(encoding="utf-8").split("\n| recipe |", 1)[1].splitlines()[0]
    assert set(names(head)) == {target.name for target in targets.every()}


def test_targets_that_are_made_by_name_alone() -> None:
    shown = {names(row[0])[0] for row in table("convert.md", "target | file") if "by name only" in row[0]}
    assert shown == {target.name for target in targets.every() if target.only_by_name}


def test_recipes_and_their_aliases() -> None:
    shown = {names(row[0])[0]: set(names(row[1])) for row in table("recipes.md", "recipe")}
    assert list(shown) == list(RECIPES)
    assert shown == {name: {alias for alias, full in ALIASES.items() if full == name} for name in RECIPES}


def test_what_no_target_can_carry_names_the_recipe_that_would_do() -> None:
    head = (DOCS / "recipes.md").read_text(encoding="utf-8").split("\n| recipe |", 1)[1].splitlines()[0]
    for row in table("recipes.md", "recipe"):
        recipe = names(row[0])[0]
        for target, cell in zip(names(head), row[2:], strict=True):
            refused = re.fullmatch(r"no: `(\w+)`", cell)
            known = targets.target_named(target)
            assert (recipe in known.meanings) == (refused is None), (recipe, target)
            assert refused is None or refused[1] == known.refusal(recipe)[1], (recipe, target)


def test_thresholds() -> None:
    shown = {names(row[0])[0]: (row[1], row[3]) for row in table("thresholds.md", "recipe")}
    assert shown == {
        name: (
            f"at least {each.min_sqnr_db:g} dB",
            ("" if each.min_top1 == 1 else "at least ") + percent(each.min_top1),
        )
        for name, each in RECIPES.items()
    }


def test_extras() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shown = {names(row[0])[0] for row in table("install.md", "extra") if names(row[0])}
    assert shown == set(project["optional-dependencies"])


def test_data_sets() -> None:
    shown = {
        names(row[0])[0]: (int(row[1]), tuple(names(row[2])), row[3].strip("<>"))
        for row in table("datasets.md", "name")
    }
    assert shown == {name: (known.class_count, known.folders, known.page) for name, known in DATA_SETS.items()}


def test_devices() -> None:
    assert {names(row[0])[0].split(":")[0] for row in table("devices.md", "name")} == set(KINDS)


def test_environment_variables() -> None:
    shown = {name for row in table("command-line.md", "variable") for name in names(row[0])}
    folders = [Path(dvfl_mobile.__file__).parent, CHECKOUT / "converters", CHECKOUT / "quantization"]
    used = {
        name
        for folder in folders
        for path in folder.rglob("*.py")
        for name in re.findall(r"\"(DVFL_MOBILE_[A-Z0-9_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert shown == used


def test_addresses_are_the_same_everywhere() -> None:
    urls = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    site = (CHECKOUT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"repo_url: {urls['Source']}\n" in site
    assert f"site_url: {urls['Documentation']}\n" in site
    issues = yaml.safe_load((CHECKOUT / ".github/ISSUE_TEMPLATE/config.yml").read_text(encoding="utf-8"))
    assert all(link["url"].startswith(urls["Source"]) for link in issues["contact_links"])
    owner = urls["Source"].split("/")[-2]
    assert f"uses: {owner}/dvfl-mobile/.github/actions/parity@" in (DOCS / "ci.md").read_text(encoding="utf-8")
