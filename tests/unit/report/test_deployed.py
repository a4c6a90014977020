"""A deploy's page and model card: whole, self-contained, and true to the summary that they are made of."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import yaml

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.model.ranges import Ranges
from dvfl_mobile.pipeline.summary import ClipFigure, DeployRow, DeploySummary, NotRun
from dvfl_mobile.report.deployed import card, drawings, page
from tests.fake_device import make_artifact

HOSTILE = "<script>alert(1)</script>|`x`"
DELEGATION = Delegation.of(
    "XNNPACK",
    2,
    [
        Operation("linear", "stage0.block0.mlp", True, 300, True),
        Operation("linear", "stage0.block0.proj", True, 100, False),
        Operation("gelu", "stage0.block0.mlp", False, 0, False),
        Operation("linear", "head", True, 4, False),
    ],
)
RANGES = Ranges.of([("linear", "stem", 3.0, None), ("linear", "stage0.block0", 70_000.0, None)], 2, HOSTILE)


def row(target: str, verdict: str = "pass", engine: str = "host", decibels: float | None = 61.5, **more) -> DeployRow:
    figures = [ClipFigure(name=HOSTILE, sqnr_db=decibels, agrees=True), ClipFigure(name="b", sqnr_db=9, agrees=False)]
    values = {
        "engine": engine, "target": target, "recipe": "fp16", "path": f"out/m/{target}/fp16", "size_bytes": 5_000_000,
        "delegated_share": 1.0, "delegate_calls": 2, "operators_outside": 1, "sqnr_db": decibels, "agreeing": 1,
        "worst_sqnr_db": decibels, "least_sqnr_db": 45.0, "by_clip": tuple(figures), "clips": 2, "verdict": verdict,
        "reasons": () if verdict == "pass" else (f"too far {HOSTILE}",), "seconds": 3.0 if engine == "host" else None,
    }  # fmt: skip
    return DeployRow.model_validate(values | more)


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    made = make_artifact(tmp_path_factory.mktemp("page") / "out", recipe="fp16").manifest
    filled = made.model_copy(update={"delegation": DELEGATION, "ranges": RANGES})
    return {"tflite/fp16": filled, "coreml/fp16": filled, "executorch/fp16": filled}


def summary(*rows: DeployRow) -> DeploySummary:
    return DeploySummary.model_validate(
        {
            "tool_version": "0.1.0", "verdict": "fail", "reasons": ("one failed",), "model": HOSTILE,
            "weights": "seeded", "checkpoint": "a.pth", "clips": {"count": 2, "source": HOSTILE, "notes": ()},
            "rows": rows,
            "not_run": (NotRun(engine="htp", why=f"no licence {HOSTILE}"),), "notes": (),
        }
    )  # fmt: skip


ALL = (row("tflite"), row("tflite", engine="gpu"), row("coreml", "fail"), row("executorch", "inconclusive", clips=None))


class Tags(HTMLParser):
    """What a page opens and closes, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br", "wbr", "line", "rect", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_runs_nothing(manifests: dict[str, Manifest]) -> None:
    text = page.html(summary(*ALL), manifests)
    tags = Tags()
    tags.feed(text)
    assert (tags.open, tags.fetched) == ([], [])
    assert "script" not in tags.seen
    assert "&lt;script&gt;" in text
    for said in ("tflite/fp16 on gpu", "htp", "no licence", "half precision ends at 65,504", "1 operator outside"):
        assert said in text


def test_each_clip_is_a_dot_where_its_figure_is() -> None:
    drawn = drawings.strips([row("tflite")])
    dots = re.findall(r'<circle cx="([\d.]+)".*?fill="var\(--(\w+)\)".*?<title>(.*?)</title>', drawn)
    assert [colour for _, colour, _ in dots] == ["first", "mark"]
    assert dots[0][2].endswith(": 61.5 dB")
    right, wrong = (float(x) for x, _, _ in dots)
    [threshold] = re.findall(r'<line x1="([\d.]+)"[^>]*stroke="var\(--mark\)"', drawn)
    assert wrong < float(threshold) < right


@pytest.mark.parametrize("decibels", [None, float("inf"), -12.0, 1000.0])
def test_no_figure_leaves_the_drawing(decibels: float | None) -> None:
    drawn = drawings.strips([row("tflite", decibels=decibels)])
    assert all(0 <= float(x) <= 760 for x in re.findall(r'cx="([^"]+)"', drawn))


def test_a_bar_is_as_high_as_the_work_of_its_block() -> None:
    heights = [float(each) for each in re.findall(r'height="([\d.]+)" fill=', drawings.blocks(DELEGATION))]
    whole = 90.0
    assert heights == pytest.approx([whole * 0.75, whole * 0.25, 0, 0, whole * 0.01, 0], abs=0.06)


def test_the_card_has_the_builds_that_passed_everywhere_and_says_why_the_others_are_not_there(
    manifests: dict[str, Manifest],
) -> None:
    text = card.card(summary(*ALL, row("qualcomm-SM8750", decibels=50.0)), manifests)
    _, fields, body = text.split("---\n", 2)
    front = yaml.safe_load(fields)
    assert front["pipeline_tag"] == "video-classification"
    assert front["model_name"] == HOSTILE
    assert {"tflite", "qualcomm-SM8750"} < set(front["tags"])
    earned, left_out = body.split("## Builds that did not earn a place")
    assert "| tflite/fp16 |" in earned
    assert "coreml" not in earned
    assert "| coreml/fp16 | coreml/fp16: too far" in left_out
    assert "executorch/fp16" in left_out
    assert "Nothing was recorded of these weights" in body


def test_a_build_that_fails_on_one_engine_earns_no_place(manifests: dict[str, Manifest]) -> None:
    text = card.card(summary(row("tflite"), row("tflite", "fail", engine="gpu")), manifests)
    assert "None." in text.split("## Builds\n")[1].splitlines()[1]
    assert "tflite/fp16 on gpu: too far" in text
