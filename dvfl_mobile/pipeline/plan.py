"""Plan a deployment: targets, recipe and folder, resolved before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile import targets as known
from dvfl_mobile.converters.base import versions
from dvfl_mobile.errors import DvflMobileError, MissingDependencyError, UsageError
from dvfl_mobile.recipes import Recipe, check_carried, recipe_named
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import Target, for_soc, target_named
from dvfl_mobile.wording import either

_USUAL_IOS = 17


@dataclass(frozen=True)
class Plan:
    """What to make of a student.

    Attributes:
        targets: in the order in which they are made.
        recipe: for all of them.
        out: results go to `out/<model>/<target>/<recipe>/`.
        minimum_ios: 16, 17 or 18: the oldest iOS that a Core ML package is to run on.
        toom_cook: whether temporal convolutions that are faster by Toom-Cook are computed so, where a target has them
            for the recipe; False: a smaller file.
        notes: what was left out of the plan, and why.
    """

    targets: tuple[Target, ...]
    recipe: Recipe
    out: Path
    minimum_ios: int = 17
    toom_cook: bool = True
    notes: tuple[str, ...] = ()


def make_plan(
    targets: Sequence[str],
    recipe: str,
    out: Path,
    minimum_ios: int | None = None,
    soc: str | None = None,
    *,
    toom_cook: bool = True,
    by_name_too: bool = False,
) -> Plan:
    """Resolve names, before any work.

    With no target named, every target is taken that carries the recipe and whose packages are installed, but for
    those that are only made by name; the others go into the notes.

    Args:
        targets: their names.
        minimum_ios: None: 17, or the oldest that has what the recipe needs.
        soc: the chip to compile for, such as `SM8750`, for the targets that are compiled for one.
        toom_cook: see `Plan`.
        by_name_too: with no target named, also take those that are only made by name.

    Raises:
        UsageError: there is no such target, chip or recipe, or a named target can't carry the recipe.
        MissingDependencyError: a named target's packages aren't installed, or those of all targets.
    """
    kind = recipe_named(recipe)
    named = [target_named(name) for name in dict.fromkeys(targets)]
    chosen, notes = for_soc(named, soc) if named or not by_name_too else [], []
    check_carried(kind, [target.name for target in chosen])
    oldest = _minimum_ios(kind, minimum_ios, chosen)
    if chosen:
        for target in chosen:
            versions(target)
    else:
        left_out: dict[str, DvflMobileError] = {}
        for target in (target for target in known.every() if by_name_too or not target.only_by_name):
            try:
                check_carried(kind, [target.name])
                versions(target)
                chosen += for_soc([target], soc if target.socs else None)
            except (MissingDependencyError, UsageError) as error:
                left_out[target.name] = error
        if not chosen:
            raise next(error for error in left_out.values() if isinstance(error, MissingDependencyError))
        notes = [f"{name} was left out: {error.problem} {error.hint}" for name, error in left_out.items()]
    return Plan(tuple(chosen), kind, out, oldest, toom_cook, tuple(notes))


def _minimum_ios(recipe: Recipe, asked: int | None, named: Sequence[Target]) -> int:
    if asked is None:
        return max(_USUAL_IOS, recipe.least_ios)
    for target in (each for each in named or known.every() if each.ios):
        if asked not in target.ios:
            raise UsageError(f"{target.title} can't be made for iOS {asked}.", hint=f"Choose {either(target.ios)}.")
    if asked < recipe.least_ios:
        raise UsageError(
            f"{recipe.name} needs iOS {recipe.least_ios}, and {asked} was asked for.",
            hint=f"Use {option('minimum_ios', recipe.least_ios)}.",
        )
    return asked
