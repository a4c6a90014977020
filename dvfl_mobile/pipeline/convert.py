"""Convert a model to one artifact for each target of a plan, and check what of each is delegated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dvfl_mobile.artifacts.make import Artifact, Wanted, make_artifact, standing_artifact
from dvfl_mobile.artifacts.reference import save_reference
from dvfl_mobile.data.gather import ClipSet, gather_clips
from dvfl_mobile.errors import CheckFailedError, InconclusiveError
from dvfl_mobile.model.ranges import MARGIN, MOST_HALF, OperatorRange
from dvfl_mobile.pipeline.load import check_scales
from dvfl_mobile.pipeline.plan import Plan
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.spelling import command, option
from dvfl_mobile.targets import Target
from dvfl_mobile.wording import first_few, plural

_MOST_NAMED = 3


def convert(model: Lowerable, plan: Plan, step: Step = silent, *, reuse: bool = False) -> list[Artifact]:
    """Make each artifact of the plan.

    Args:
        reuse: leave one alone that stands already, whole, and made of the same by the same tools.

    Raises:
        UsageError: the recipe needs scales, and the model has none.
    """
    check_scales(model, plan.recipe)
    reference = save_reference(model.student, plan.out)
    clips = gather_clips(None, model.student.raw_clip, model.student.classes, silent, 0)
    return [convert_one(model, target, plan, reference, clips, step, reuse=reuse) for target in plan.targets]


def convert_one(
    model: Lowerable, target: Target, plan: Plan, reference: Path, clips: ClipSet, step: Step, *, reuse: bool = False
) -> Artifact:
    """Make one artifact of the plan, beside the reference that `save_reference` wrote; see `convert`.

    Args:
        clips: to find on how large its values become.
    """
    minimum_os = f"iOS {plan.minimum_ios}" if target.ios else target.minimum_os
    temporal = target.temporal_of(plan.recipe.name) if plan.toom_cook else "direct"
    wanted = Wanted(model, target, plan.recipe, plan.out, reference, minimum_os, temporal)
    if reuse:
        with step(f"look for {target.name} {plan.recipe.name}"):
            found = standing_artifact(wanted)
        if found is not None:
            return found
    with step(f"convert to {target.name} {plan.recipe.name}"):
        return make_artifact(wanted, clips)


def check_delegated(made: Sequence[Artifact], least: float | None, max_calls: int | None = None) -> None:
    """Check what share of each artifact's multiply-adds is delegated, and in how many calls.

    Args:
        least: the smallest share that will do, 0 to 1; None: don't ask.
        max_calls: the most pieces that the graph may fall into on the delegate; None: don't ask.

    Raises:
        CheckFailedError: less of one is delegated, or it falls into more pieces.
        InconclusiveError: none is known to fail, and of one only the device knows.
    """
    for artifact in sorted(made, key=lambda artifact: artifact.manifest.delegation.share is None):
        if least is not None:
            _check_share(artifact, least)
        if max_calls is not None:
            _check_calls(artifact, max_calls)


def check_ranges(made: Sequence[Artifact]) -> None:
    """Check that no artifact which computes in half precision has values that it can't hold.

    Raises:
        CheckFailedError: one has, on the clips that its manifest names; the message says where, first to last.
    """
    for artifact in made:
        ranges = artifact.manifest.ranges
        if ranges is not None and ranges.overflowing and _computes_in_half(artifact):
            raise CheckFailedError(
                f"{artifact.folder} computes in half precision, which ends at {MOST_HALF:,.0f}, and "
                f"{plural(len(ranges.overflowing), 'operator')} of it go beyond: {_named(ranges.overflowing)}.",
                hint=f"See them all with: {command('inspect', artifact.folder)} --ranges",
            )


def range_warnings(artifact: Artifact) -> tuple[str, ...]:
    """What whoever ships it must know of the size of its values: sentences, none where all is well."""
    ranges = artifact.manifest.ranges
    if ranges is None:
        return ()
    facts = artifact.manifest
    name = f"{facts.target}/{facts.recipe}"
    found = []
    if ranges.overflowing and not _computes_in_half(artifact):
        found.append(
            f"{name}: {plural(len(ranges.overflowing), 'operator')} go beyond {MOST_HALF:,.0f}, where half precision "
            f"ends: {_named(ranges.overflowing)}. A phone's GPU or NPU computes in it by default, and gives wrong "
            "numbers there."
        )
    if ranges.near:
        found.append(
            f"{name}: {plural(len(ranges.near), 'operator')} come within {MARGIN:g} times of {MOST_HALF:,.0f}, where "
            f"half precision ends: {_named(ranges.near)}. Other clips may go beyond."
        )
    return tuple(found)


def _computes_in_half(artifact: Artifact) -> bool:
    recipe = RECIPES.get(artifact.manifest.recipe)
    return recipe is not None and recipe.computes_in(artifact.manifest.target) == "float16"


def _named(rows: Sequence[OperatorRange]) -> str:
    return first_few(
        rows, _MOST_NAMED, lambda row: f"{row.operator} in {row.module or 'the graph'} ({row.largest:,.0f})"
    )


def _check_share(artifact: Artifact, least: float) -> None:
    delegation = artifact.manifest.delegation
    if delegation.share is None:
        raise _unknown(artifact, "What share of", option("least"))
    if delegation.share < least:
        raise _fell_back(artifact, f"has {delegation.share:.1%} of its multiply-adds delegated, below {least:.1%}")


def _check_calls(artifact: Artifact, most: int) -> None:
    delegation = artifact.manifest.delegation
    if delegation.calls is None:
        raise _unknown(artifact, "In how many calls", option("max_calls"))
    if delegation.calls > most:
        outside = plural(delegation.outside or 0, "operator")
        calls = f"{plural(delegation.calls, 'call')} of {delegation.delegate}"
        raise _fell_back(artifact, f"falls into {calls}, above {most}; {outside} outside")


def _unknown(artifact: Artifact, question: str, bound: str) -> InconclusiveError:
    """The error that only the device knows what a bound asks for."""
    return InconclusiveError(
        f"{question} {artifact.folder} is delegated is unknown here: {artifact.manifest.delegation.undecided}",
        hint=f"Leave {bound} out for this target, or profile it on a device.",
    )


def _fell_back(artifact: Artifact, problem: str) -> CheckFailedError:
    """The error that a bound isn't kept, with the first few operators that fell back, and where."""
    worst = [f"{row.operator} in {row.module or 'the graph'}" for row in artifact.manifest.delegation.fallbacks[:3]]
    return CheckFailedError(
        f"{artifact.folder} {problem}: {', '.join(worst)}.",
        hint=f"See all that fell back with: {command('inspect', artifact.folder)}",
    )
