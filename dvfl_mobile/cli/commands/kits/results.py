"""What `profile` and `parity` do with the results of a kit: judge each of its artifacts as if it had run here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.cli.console import print_note
from dvfl_mobile.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.devices.kit.results import Results
    from dvfl_mobile.parity.report import ParityReport
    from dvfl_mobile.profiling.document import ProfileReport
    from dvfl_mobile.progress import Step


def is_results(path: Path) -> bool:
    """Whether a name is that of a kit's results."""
    return path.suffix.lower() == ".zip"


def profiled(path: Path, *, json: bool) -> Iterator[tuple[ProfileReport, Artifact]]:
    """The profile of each artifact of a kit, from its results.

    Raises:
        ArtifactError: the results can't be believed, or an artifact isn't what it was.
        UsageError: they are several, and one document is asked for.
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.data.gather import gather_clips
    from dvfl_mobile.devices.base import find_device
    from dvfl_mobile.profiling.fleet import profile_fleet
    from dvfl_mobile.profiling.plan import Plan
    from dvfl_mobile.profiling.session import check_is_physical
    from dvfl_mobile.profiling.subjects import subject_of

    results, name = _opened(path), f"kit:{path}"
    record = results.record
    plan = Plan(runs=record.runs, warmup=record.warmup, threads=record.threads)
    check_is_physical(find_device(name))
    for artifact in _artifacts(results, json=json):
        manifest = artifact.manifest
        with steps() as step:
            [clip, *_] = gather_clips(record.clips_path, manifest.clip, manifest.classes, step, 1).clips
            with step("run the reference form"):
                subject = subject_of(artifact, clip)
            report = profile_fleet([name], [subject], plan, partial(_same, step))
        yield report, artifact


def compared(path: Path, *, json: bool) -> Iterator[tuple[ParityReport, Artifact]]:
    """The parity of each artifact of a kit, from its results.

    Raises what `profiled` does.
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pipeline.check import check

    results = _opened(path)
    record = results.record
    for artifact in _artifacts(results, json=json):
        with steps() as step:
            report = check(artifact, record.clips_path, None, record.most, step, device=f"kit:{path}")
        yield report, artifact


def _opened(path: Path) -> Results:
    from dvfl_mobile.devices.kit.results import open_results

    results = open_results(path)
    print_note(f"{path.name} was measured elsewhere, at {results.when} by the phone's clock.")
    return results


def _artifacts(results: Results, *, json: bool) -> Iterator[Artifact]:
    from dvfl_mobile.artifacts.make import open_artifact

    if json and len(results.record.artifacts) > 1:
        raise UsageError(
            f"{results.name} is of {len(results.record.artifacts)} artifacts, and --json prints one document.",
            hint=f"Name one of them, with --device kit:{results.name} and what the kit was made with.",
        )
    for each in results.record.artifacts:
        artifact = open_artifact(Path(each.folder))
        if artifact.manifest.files[0].sha256 != each.sha256:
            raise ArtifactError(
                f"{each.folder} isn't the artifact that the kit was made of.",
                hint="Convert it again, or make a new kit.",
            )
        yield artifact


def _same(step: Step, _name: str) -> Step:
    return step
