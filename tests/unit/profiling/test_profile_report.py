"""Profiles as people read them: on a terminal, as a page, as plots. Nothing foreign may act in any of them."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from dvfl_mobile.devices.values import DeviceState, OperatorTime
from dvfl_mobile.errors import DeviceError, MissingDependencyError
from dvfl_mobile.profiling.document import ProfileReport
from dvfl_mobile.profiling.fleet import profile_fleet
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.profiling.subjects import Subject
from dvfl_mobile.progress import silent
from dvfl_mobile.report.formats import plots
from dvfl_mobile.report.profile import figures as profile_figures
from dvfl_mobile.report.profile import html as profile_html
from dvfl_mobile.report.profile import plots as profile_plots
from dvfl_mobile.report.profile import terminal as profile_terminal
from dvfl_mobile.report.profile import unicode
from tests.fake_device import MS, FakeDevice, expected, make_artifact, make_subject

EVIL = "<script>alert(1)</script>\x1b[31m&\"'"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(make_artifact(tmp_path_factory.mktemp("report") / "out"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(make_artifact(tmp_path_factory.mktemp("report2") / "out", recipe="fp16"))


def _noisy(_folder: Path, place: int, runs: int) -> list[int]:
    stream = np.random.default_rng(place)
    return [int(10 * MS * np.exp(stream.normal(0, 0.02))) for _ in range(runs)]


OPERATORS = (
    OperatorTime(index=0, name="fully connected", module="stage0.block1.mlp", duration_ns=700),
    OperatorTime(index=1, name=EVIL, module=EVIL, delegated=False, duration_ns=300),
)


def _report(subjects: list[Subject], devices: list[FakeDevice], plan: Plan | None = None) -> ProfileReport:
    by_name = {device.name: device for device in devices}
    return profile_fleet(list(by_name), subjects, plan or Plan(), lambda _: silent, find=by_name.__getitem__)


@pytest.fixture(scope="module")
def compared(subject: Subject, other: Subject) -> ProfileReport:
    device = FakeDevice(times=_noisy, operators=OPERATORS, states=[DeviceState(battery_percent=9, is_charging=True)])
    return _report([subject, other], [device], Plan(operators=True))


def _text(report: ProfileReport, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, highlight=False).print(profile_terminal.terminal(report))
    return stream.getvalue()


def test_the_terminal_says_what_matters_first(subject: Subject) -> None:
    wrong = FakeDevice(logits=expected(subject.artifact.folder) * 2)
    lines = _text(_report([subject], [wrong])).splitlines()
    assert lines[0].startswith("FAIL")
    assert any("The output is wrong" in line for line in lines[:6])
    assert not any("median" in line for line in lines[:6])


def test_the_terminal_shows_figures_findings_plots_and_operators(compared: ProfileReport) -> None:
    text = _text(compared)
    for part in (
        "PASS",
        "95 % interval",
        "needs 200 runs",
        "B takes",
        "Noise: A against itself",
        "charging: The battery was charging",
        "low battery",
        "Distribution of A",
        "Time line of B",
        "Operators of A, not delegated first",
        "stage0.block1",
        "in 12 rounds",
    ):
        assert part in text
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if "NO" in line.split() or "fully connected" in line]
    assert "script" in rows[0], "what isn't delegated is on top"


def test_it_fits_a_narrow_terminal(compared: ProfileReport) -> None:
    assert max(map(len, _text(compared, width=80).splitlines())) <= 80


def test_several_devices_are_one_table_with_those_that_failed(subject: Subject) -> None:
    failing = FakeDevice("android:B", fails_at=0, error=DeviceError("android:B is gone.", hint="Plug it in."))
    text = _text(_report([subject], [FakeDevice("android:A", times=_noisy), failing], Plan(runs=24)))
    rows = [line.split() for line in text.splitlines()]
    assert any(row[:1] == ["android:A"] and row[-1] == "pass" for row in rows)
    assert any(row[:1] == ["android:B"] and row[-1] == "fail" for row in rows)
    assert "android:B is gone. Plug it in." in text


class _Page(HTMLParser):
    """What a page would load or run, and whether its tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data"):
                self.links.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_runs_nothing(compared: ProfileReport) -> None:
    pytest.importorskip("matplotlib")
    # The same plots of two devices: no name of a part may be there twice.
    twice = compared.model_copy(update={"devices": compared.devices * 2})
    text = profile_html.html(twice)
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.handlers == []
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    assert len(page.ids) == len(set(page.ids)) > 0
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", text)) <= set(page.ids)
    assert "&lt;script&gt;" in text, "foreign text is shown, not obeyed"
    assert "prefers-color-scheme: dark" in text
    # Every colour of the plots is one that the page sets for light and for dark.
    for colour in profile_plots.STYLES:
        assert colour not in text.partition("</style>")[2]


def test_names_stay_whole_and_paths_break_at_their_joints(compared: ProfileReport) -> None:
    text = profile_html.html(compared)
    assert '<td class="short">low battery</td>' in text
    assert "overflow-wrap: anywhere" not in text.replace(".long { overflow-wrap: anywhere; }", "")
    rows = compared.devices[0].a.operators
    long = rows[0].model_copy(update={"module": "stage0.block1.modulation.context_of_all"})
    device = compared.devices[0].model_copy(
        update={"a": compared.devices[0].a.model_copy(update={"operators": (long, *rows)})}
    )
    text = profile_html.html(compared.model_copy(update={"devices": (device,)}))
    assert "stage0.<wbr>block1.<wbr>modulation.<wbr>context_<wbr>of_<wbr>all" in text


def test_the_time_line_shows_its_last_run_whole(compared: ProfileReport) -> None:
    pytest.importorskip("matplotlib")
    figure = plots.new_figure(9, 3.4)
    profile_plots._line(figure, compared.devices[0])
    [axes] = figure.axes
    last = max(float(np.max(line.get_xdata())) for line in axes.lines if len(line.get_xdata()))
    assert axes.transData.transform((last, 0))[0] + 3 < axes.bbox.x1, "a dot is two points wide to each side"


def test_without_matplotlib_the_page_has_plots_of_characters(
    compared: ProfileReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: float) -> None:
        raise MissingDependencyError("matplotlib", extra="plots")

    monkeypatch.setattr(plots, "new_figure", missing)
    text = profile_html.html(compared)
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert "<svg" not in text
    assert "█" in text
    assert "dvfl-mobile[plots]" in text


def test_plots_are_whole_files_of_both_kinds(compared: ProfileReport) -> None:
    pytest.importorskip("matplotlib")
    drawn = profile_plots.draw(compared.devices[0])
    assert [plot.name for plot in drawn] == ["distribution", "time line", "operators"]
    for plot in drawn:
        assert plot.png.startswith(b"\x89PNG")
        assert ElementTree.fromstring(plot.svg).tag.endswith("svg")


def test_a_sustained_run_has_a_curve(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    device = FakeDevice(times=_noisy)
    monkeypatch.setattr("dvfl_mobile.profiling.session.time.monotonic", lambda: device.clock_ns / 1e9)
    report = _report([subject], [device], Plan(sustained_s=60.0))
    assert [plot.name for plot in profile_plots.draw(report.devices[0])] == ["distribution", "time line", "throttling"]
    assert "Kept running for 60 s" in _text(report)


def test_runs_that_all_took_the_same_are_drawn_too(subject: Subject) -> None:
    pytest.importorskip("matplotlib")
    report = _report([subject], [FakeDevice(times=lambda _folder, _place, runs: [10 * MS] * runs)], Plan(runs=6))
    assert len(profile_plots.draw(report.devices[0])) == 2
    assert "10.0 ms" in _text(report)


def test_a_histogram_counts_every_run_once() -> None:
    samples = [*range(100, 200), 5000]
    bins = unicode.histogram(samples)
    assert sum(count for _, _, count, _ in bins) == 101
    assert bins[-1][1] == 5000, "the straggler is in the last"
    assert max(len(drawn) for _, _, _, drawn in bins) == unicode.BAR_WIDTH


def test_a_time_line_has_a_character_for_each_run_or_for_several() -> None:
    assert unicode.time_line([1, 8]) == "▁█"
    assert unicode.time_line([5, 5, 5]) == "▁▁▁"
    long = unicode.time_line(list(range(1000)))
    assert len(long) == unicode.LINE_WIDTH
    assert long == "".join(sorted(long))


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(999, "999 ns"), (1000, "1.00 µs"), (12_340_000, "12.3 ms"), (999.6e6, "1000 ms"), (2.5e9, "2.50 s"), (None, "-")],
)
def test_times_are_written_with_their_unit(nanoseconds: float | None, text: str) -> None:
    assert profile_figures.time_text(nanoseconds) == text
