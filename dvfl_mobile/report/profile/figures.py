"""Cells of the profile tables, shared by terminal and HTML."""

from __future__ import annotations

from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.documents import Verdict
from dvfl_mobile.profiling.document import (
    ArtifactProfile,
    DeviceProfile,
    Finding,
    Noise,
    OperatorRow,
    ProfileReport,
    Summary,
    Sustained,
)
from dvfl_mobile.profiling.statistics import P90_NEEDS_RUNS, P99_NEEDS_RUNS
from dvfl_mobile.runners.values import runner_in_words
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few, percent, plural, printable

FLEET_COLUMNS = ("device", "p50", "interval", "p90", "load", "first", "memory", "B / A", "")
OPERATOR_COLUMNS = ("operator", "module", "delegated", "time", "share")
BLOCK_COLUMNS = ("block", "time", "share")
MOST_OPERATORS = 15

_FINDING_NAMES = {"few_samples": "few samples", "low_battery": "low battery", "low_power": "low power"}


def title(profile: DeviceProfile) -> str:
    """`nano/tflite/fp32 on host`, or both artifacts."""
    names = " against ".join(each.artifact.title for each in reversed(profile.artifacts))
    return f"{names} on {printable(profile.device.device)}"


def device_line(device: DeviceFacts) -> str:
    """What the device is, in one line."""
    parts = [device.model, device.soc, device.system, device.abi, plural(len(device.cores), "core")]
    return printable(", ".join(part for part in parts if part)) + "."


def source(report: ProfileReport, profile: DeviceProfile) -> str:
    """What was run how, in one sentence."""
    asked = report.asked
    parts = [f"Clip: {asked.clip}", f"warm-up {asked.warmup}"]
    if asked.cores:
        parts.append(f"cores {','.join(map(str, asked.cores))}")
    if asked.compute_units:
        parts.append(f"compute units {asked.compute_units}")
    # Its threads are those of its plain runs; what the timed ones had is among the figures.
    runner = {name: value for name, value in profile.a.runner.items() if name != "threads"}
    return ", ".join(parts) + f". Runner: {runner_in_words(runner)}."


def time_text(value_ns: float | None) -> str:
    """`12.34 ms`, with four digits; `-` for None."""
    if value_ns is None:
        return "-"
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if value_ns >= factor:
            value = value_ns / factor
            return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"
    return f"{value_ns:.0f} ns"


def interval_text(interval: tuple[float, float] | None, without: str = "-") -> str:
    """`12.1 ms to 12.5 ms`; `without` for None."""
    return without if interval is None else f"{time_text(interval[0])} to {time_text(interval[1])}"


def bytes_text(count: int | None) -> str:
    """`66.2 MB`; `-` for None."""
    return "-" if count is None else f"{count / 1e6:.1f} MB"


def figure_rows(profile: DeviceProfile) -> list[tuple[str, ...]]:
    """A row for each figure, a cell for each artifact."""
    columns = [_figures(each.summary) for each in profile.artifacts]
    return [(name, *(column[name] for column in columns)) for name in columns[0]]


def _figures(summary: Summary) -> dict[str, str]:
    def needing(value: float | None, runs: int) -> str:
        return time_text(value) if value is not None else f"needs {runs} runs"

    return {
        "median (p50)": time_text(summary.p50_ns),
        "  95 % interval": interval_text(summary.median_interval_ns, "needs 6 rounds"),
        "p90": needing(summary.p90_ns, P90_NEEDS_RUNS),
        "p99": needing(summary.p99_ns, P99_NEEDS_RUNS),
        "least, most": f"{time_text(summary.least_ns)}, {time_text(summary.most_ns)}",
        "mean": time_text(summary.mean_ns),
        "variation": percent(summary.variation),
        "load": time_text(summary.load_ns),
        "first inference": time_text(summary.first_ns),
        "throughput": f"{summary.clips_per_s:.1f} clips/s, {summary.frames_per_s:.0f} frames/s",
        "against a camera": f"{summary.real_time_factor:.2f} times its 30 frames/s",
        "peak memory": bytes_text(summary.peak_memory_bytes),
        "threads": "-" if summary.threads is None else str(summary.threads),
        "runs": f"{summary.runs} in {plural(summary.rounds, 'round')}",
    }


def outputs(profile: DeviceProfile) -> list[str]:
    """Whether each output is right; wrong ones first, and by name where there are two."""
    several = len(profile.artifacts) > 1
    lettered = [(letter, each) for letter, each in zip("AB", profile.artifacts, strict=False)]
    lettered.sort(key=lambda pair: pair[1].output.verdict is not Verdict.FAIL)
    return [
        f"{letter} is {each.artifact.title}: {each.output.sentence}" if several else each.output.sentence
        for letter, each in lettered
    ]


def conclusions(profile: DeviceProfile) -> list[str]:
    """What comparing gave, what noise is, and what running on gave."""
    said = []
    if profile.comparison is not None:
        said.append(profile.comparison.sentence)
    if profile.noise is not None:
        said.append(noise_sentence(profile.noise))
    if profile.sustained is not None:
        said.append(sustained_sentence(profile.sustained))
    return said


def noise_sentence(noise: Noise) -> str:
    """The A/A comparison, and the least difference that can be measured here."""
    sentence = f"Noise: A against itself gave a ratio of {noise.ratio:.3f}"
    if noise.interval is not None:
        sentence += f" ({noise.interval[0]:.3f} to {noise.interval[1]:.3f})"
    floor = f"{100 * (noise.floor - 1):.1f} %"
    return f"{sentence}; differences below {floor} can't be measured here, with {plural(noise.pairs, 'pair')}."


def sustained_sentence(curve: Sustained) -> str:
    """What running on gave."""
    ran = f"Kept running for {curve.asked_s:g} s, busy {percent(curve.busy)} of it: "
    if curve.steady_ns is None or curve.steady_from_s is None:
        return ran + f"it never became steady, and ended at {curve.slowdown:.2f} times its first window."
    return ran + (
        f"steady from {curve.steady_from_s:.0f} s on at {time_text(curve.steady_ns)}, "
        f"{curve.slowdown:.2f} times its first window."
    )


def finding_name(finding: Finding) -> str:
    """What a finding is called where a person reads it."""
    return _FINDING_NAMES.get(finding.kind, finding.kind.replace("_", "-"))


def operator_rows(profile: ArtifactProfile) -> list[tuple[str, ...]]:
    """A row for each kind of operator of a module, those that aren't delegated on top; the largest only."""
    return [_operator_row(row) for row in profile.operators[:MOST_OPERATORS]]


def _operator_row(row: OperatorRow) -> tuple[str, ...]:
    fate = {True: "yes", False: "NO", None: "-"}[row.delegated]
    name = f"{row.name} × {row.count}" if row.count > 1 else row.name
    return name, row.module or "-", fate, time_text(row.duration_ns), percent(row.share)


def block_rows(profile: ArtifactProfile) -> list[tuple[str, str, str]]:
    """The time of each stage or block, most first."""
    sums: dict[str, int] = {}
    for row in profile.operators:
        sums[row.block] = sums.get(row.block, 0) + row.duration_ns
    total = sum(sums.values()) or 1
    ranked = sorted(sums.items(), key=lambda pair: -pair[1])
    return [(block or "(not known)", time_text(duration), percent(duration / total)) for block, duration in ranked]


def operator_remarks(profile: ArtifactProfile, device: str) -> list[str]:
    """What was left out of the table, and what isn't delegated without having been timed."""
    said = []
    left = len(profile.operators) - MOST_OPERATORS
    if left > 0:
        said.append(f"{plural(left, 'more row')} in the JSON document.")
    if not profile.operators:
        how = "It isn't timed by operator" + (
            f", which nothing on host does: use {option('operators')} with {option('device', 'host:native')} "
            "or an Android phone."
            if device == "host"
            else f": add {option('operators')}, where the runtime records them."
        )
        said.append(how)
    if profile.undelegated and not any(row.delegated is False for row in profile.operators):
        said.append(f"Not delegated, by the manifest: {first_few(profile.undelegated)}.")
    return said


def fleet_rows(report: ProfileReport) -> list[tuple[str, ...]]:
    """A row for each device, those that failed last."""
    rows = [_fleet_row(profile) for profile in report.devices]
    return rows + [
        (failure.device, *["-"] * 7, "fail" if failure.exit_code != 7 else "inconclusive")
        for failure in report.failures
    ]


def _fleet_row(profile: DeviceProfile) -> tuple[str, ...]:
    summary, comparison = profile.a.summary, profile.comparison
    return (
        printable(profile.device.device),
        time_text(summary.p50_ns),
        interval_text(summary.median_interval_ns),
        time_text(summary.p90_ns),
        time_text(summary.load_ns),
        time_text(summary.first_ns),
        bytes_text(summary.peak_memory_bytes),
        "-" if comparison is None else f"{comparison.ratio:.3f}, {comparison.result}",
        profile.verdict.value,
    )


def failures(report: ProfileReport) -> list[str]:
    """Why each failed device failed, and what to do."""
    return [f"{failure.device}: {failure.problem} {failure.hint}".strip() for failure in report.failures]
