"""What the reports say, in each of their four languages, for friendly and for hostile names."""

from __future__ import annotations

import io
import json
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.cli.terminal import Terminal
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.devices.values import FoundDevice
from dvfl_mobile.documents import Verdict, json_text
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, decided, undecided
from dvfl_mobile.pipeline.prediction import ClassProbability, Prediction
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary, summarize
from dvfl_mobile.report import contents, parity, prediction
from dvfl_mobile.report.deployed import tables as deploy
from dvfl_mobile.report.profile import terminal
from dvfl_mobile.wording import decibels, percent, rounded_down

HOSTILE = 'a|b`*_<b>&"[red]x[/red]\x1b[31m\x00\n\ufffe\udcff.avi'
NAMES = ("v_ApplyEyeMakeup_g01_c02.avi", "v_Basketball_g01_c02.avi", "v_BoxingPunchingBag_g04_c06.avi", HOSTILE)
CLASSES = ("ApplyEyeMakeup", "Basketball", "BoxingPunchingBag", "pass")
CLIPS = ClipFacts(count=4, source="data/ucf8", notes=("v_Punch.avi: 3 of 120 frames could not be decoded.",))
RUNNER = {"runtime": "LiteRT", "version": "2.3.0", "threads": 2, "delegated": True, "device": None}


def artifact(target: str = "tflite", recipe: str = "fp16") -> ArtifactFacts:
    path = f"out/nano/{target}/{recipe}"
    return ArtifactFacts(model="nano", target=target, recipe=recipe, path=path, classes=CLASSES)


def report(candidate: np.ndarray | None = None, weights="seeded", names=NAMES) -> ParityReport:
    reference = np.eye(4) * 10
    candidate = reference + 0.001 * (np.arange(16).reshape(4, 4) / 16) ** 2 if candidate is None else candidate
    return decided(artifact(), RUNNER, CLIPS, weights, measure(reference, candidate, names))


def failing() -> ParityReport:
    candidate = np.eye(4) * 10
    candidate[1] = (30, 0, 0, 0)
    candidate[2, 0] = np.nan
    return report(candidate)


def inconclusive() -> ParityReport:
    return undecided(artifact("coreml"), {}, CLIPS, "seeded", "Core ML artifacts run on macOS only; this is Linux.")


# 99.996 % of the work in 16 calls, as LiteRT makes of int8, and 26 operators outside.
DELEGATION = Delegation.of(
    "XNNPACK",
    16,
    [
        Operation("linear", "stage0", True, 99_996),
        Operation("slow", "head", False, 4),
        *[Operation("gelu", "stage0.block0.mlp", False)] * 25,
    ],
)


def summary(*reports: ParityReport) -> DeploySummary:
    rows = [DeployRow.of(one, size_bytes=44_412_345, delegation=DELEGATION, seconds=12.3) for one in reports]
    return summarize("nano", "default student", "seeded", CLIPS, rows, notes=["A note on fp16."])


def shown(renderable, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def printed(renderable, width: int) -> str:
    """As the command line prints it."""
    console = Terminal(io.StringIO())
    console.width = width
    console.print(renderable, crop=False, overflow="ignore")
    return console.file.getvalue()


def reject(token: str) -> None:
    raise AssertionError(f"JSON has no {token}")


DOCUMENTS = [
    report(),
    report(np.eye(4) * 10),
    failing(),
    inconclusive(),
    summary(report(), failing(), inconclusive()),
    summary(report(np.eye(4) * 10)),
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_json_is_strict_stable_and_reads_back_equal(document):
    text = json_text(document)
    parsed = json.loads(text, parse_constant=reject)
    assert parsed["schema_version"] == 1
    assert text == json_text(document)
    assert type(document).model_validate_json(text) == document


def test_json_of_identical_logits_says_infinity_as_a_string_and_of_unmeasurable_ones_null():
    assert json.loads(json_text(report(np.eye(4) * 10)))["pooled"]["sqnr_db"] == "Infinity"
    assert json.loads(json_text(summary(report(np.eye(4) * 10))))["rows"][0]["sqnr_db"] == "Infinity"
    assert json.loads(json_text(failing()))["pooled"]["sqnr_db"] is None


def test_json_keeps_what_the_runner_knows_in_its_own_types():
    assert json.loads(json_text(report()))["runner"] == RUNNER


def test_junit_of_a_pass_has_a_case_for_each_threshold_and_clip():
    root = ET.fromstring(parity.junit(report()))
    [suite] = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("7", "0", "0")
    assert [case.get("name") for case in suite.iter("testcase")][:3] == ["SQNR", "top-1 agreement", "finite logits"]
    properties = {(one.get("name"), one.get("value")) for one in suite.iter("property")}
    assert {("verdict", "pass"), ("recipe", "fp16"), ("weights", "seeded"), ("runner.threads", "2")} <= properties
    assert any("nothing about accuracy" in value for name, value in properties if name == "note")


def test_junit_fails_the_thresholds_and_the_clips_that_failed():
    root = ET.fromstring(parity.junit(failing()))
    failed = {
        case.get("name"): case.find("failure").get("message")
        for case in root.iter("testcase")
        if len(case) and case.find("failure") is not None
    }
    assert set(failed) == {"SQNR", "top-1 agreement", "finite logits", NAMES[1], NAMES[2]}
    assert failed[NAMES[1]] == "Top-1: reference Basketball, artifact ApplyEyeMakeup. SQNR: -6.7 dB."
    assert failed[NAMES[2]] == "1 of the artifact's logits is not finite."
    assert root.get("failures") == "5"


def test_junit_does_not_fail_a_flip_that_the_verdict_allows():
    reference = np.tile([10.0, 4.0], (200, 1))
    reference[0] = (10.0, 9.7)
    candidate = reference.copy()
    candidate[0] = (9.84, 9.86)
    measured = measure(reference, candidate, [f"clip{index}" for index in range(200)])
    allowed = decided(artifact(), {}, CLIPS, "checkpoint", measured)
    assert (allowed.verdict, allowed.pooled.agreement, allowed.near_ties) == (Verdict.PASS, "199 of 200", ())
    assert ET.fromstring(parity.junit(allowed)).get("failures") == "0"


def test_junit_does_not_fail_a_near_tie_beside_flips_that_count():
    reference = np.array([[10.0, 9.99], [10.0, 4.0]])
    both = decided(artifact(), {}, CLIPS, "checkpoint", measure(reference, reference[:, ::-1], ["tied", "flipped"]))
    assert both.near_ties == ("tied",)
    failed = [
        case.get("name")
        for case in ET.fromstring(parity.junit(both)).iter("testcase")
        if case.find("failure") is not None
    ]
    assert failed == ["SQNR", "top-1 agreement", "flipped"]


def test_junit_skips_what_could_not_be_decided_and_says_why():
    [suite] = ET.fromstring(parity.junit(inconclusive()))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "0", "3")
    messages = {case.find("skipped").get("message") for case in suite.iter("testcase")}
    assert messages == {"Core ML artifacts run on macOS only; this is Linux."}
    assert suite.find("properties/property[@name='verdict']").get("value") == "inconclusive"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_junit_holds_no_character_that_xml_forbids(document):
    text = parity.junit(document) if isinstance(document, ParityReport) else deploy.junit(document)
    assert not re.search("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    ET.fromstring(text.encode("utf-8"))


def test_junit_numbers_clips_of_one_name():
    root = ET.fromstring(parity.junit(report(names=["a", "b", "a", "a"])))
    assert [case.get("name") for case in root.iter("testcase")][3:] == ["a", "b", "a (2)", "a (3)"]


def test_junit_of_a_deploy_has_a_suite_for_each_artifact():
    root = ET.fromstring(deploy.junit(summary(report(), failing(), inconclusive())))
    assert (root.get("tests"), root.get("failures"), root.get("skipped")) == ("3", "1", "1")
    assert [suite.get("name") for suite in root] == ["nano/tflite/fp16", "nano/tflite/fp16", "nano/coreml/fp16"]
    assert [case.get("time") for case in root.iter("testcase")] == ["12.300"] * 3


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)\|", line)) - 1


def test_markdown_tables_keep_their_columns_whatever_the_names():
    text = parity.markdown(report())
    assert "a\\|b\\`\\*\\_\\<b\\>\\&" in text
    widths = [cells(line) for line in text.splitlines() if line.startswith("|")]
    assert widths == [4] * 9 + [4] * 6
    assert text.startswith("### Parity of nano/tflite/fp16: **pass**\n")


def test_markdown_gives_reasons_and_notes():
    text = parity.markdown(failing())
    assert "**fail**" in text
    assert "- Top-1 agrees with the reference on 2 of 4 clips; at least 99 % must (fp16).\n" in text
    assert "nothing about accuracy" in text
    assert "3 of 120 frames" in text
    assert "this is Linux" in parity.markdown(inconclusive())


def test_markdown_of_a_deploy():
    text = deploy.markdown(summary(report(), failing(), inconclusive()))
    assert "3 artifacts; failed: tflite/fp16; not decided here: coreml/fp16." in text
    assert "| coreml/fp16 | 44.4 MB | 99.9 % | - | - | 12 s | inconclusive |" in text
    assert "A note on fp16." in text
    assert "\n\nWritten to out/nano/\n\n" in text


def test_calls_and_operators_outside_stand_beside_the_share():
    made = summary(report(), failing())
    assert re.search(r"^tflite/fp16 +99\.9 % +16 +26 *$", shown(deploy.terminal(made)), re.MULTILINE)
    assert "| tflite/fp16 | 99.9 % | 16 | 26 |" in deploy.markdown(made)
    for suite in ET.fromstring(deploy.junit(made)):
        properties = {one.get("name"): one.get("value") for one in suite.iter("property")}
        expected = {"delegated_share": "0.99996", "delegate_calls": "16", "operators_outside": "26"}
        assert expected.items() <= properties.items()
    row = json.loads(json_text(made))["rows"][0]
    assert (row["delegated_share"], row["delegate_calls"], row["operators_outside"]) == (0.99996, 16, 26)
    assert contents.delegated(DELEGATION) == ("99.9 %", "16", "26")
    assert "in 16 calls of XNNPACK; 26 operators outside" in str(contents._sentence(DELEGATION))


def test_what_only_the_device_knows_has_no_figures_of_delegation():
    unknown = Delegation.of("Core ML", None, [Operation("linear", "stage0", None, 5)], "Core ML decides on the device.")
    assert contents.delegated(unknown) == ("unknown here", "-", "-")
    row = DeployRow.of(inconclusive(), size_bytes=1, delegation=unknown, seconds=1)
    assert (row.delegated_share, row.delegate_calls, row.operators_outside) == (None, None, None)
    text = deploy.junit(summarize("nano", "default student", "seeded", CLIPS, [row]))
    assert not re.search("delegated_share|delegate_calls|operators_outside", text)


def test_a_deploy_of_before_calls_were_counted_is_read():
    document = json.loads(json_text(summary(report())))
    for row in document["rows"]:
        del row["delegate_calls"], row["operators_outside"]
    [row] = DeploySummary.model_validate_json(json.dumps(document)).rows
    assert (row.delegate_calls, row.operators_outside) == (None, None)


def test_the_terminal_gives_the_verdict_first_and_whole_figures_at_80_columns():
    text = shown(parity.terminal(report()))
    lines = text.splitlines()
    assert lines[0] == "PASS  nano/tflite/fp16"
    assert "4 clips from: data/ucf8. Runner: LiteRT 2.3.0 (threads 2, delegated True)." in " ".join(lines[1:3])
    assert all(len(line) <= 80 for line in lines)
    [sqnr] = [line for line in lines if line.startswith("SQNR")]
    assert re.fullmatch(r"SQNR +\d+\.\d dB +at least 45 dB +pass *", sqnr)
    assert re.search(r"^top-1 agreement +4 of 4 +at least 99 % +pass", text, re.MULTILINE)
    for name in NAMES[:3]:
        assert re.search(rf"^{re.escape(name)} .* \d+\.\d dB *$", text, re.MULTILINE)
    assert "[red]x[/red]\\x1b[31m\\x00\\n" in text.replace("\n", "")


def test_the_worst_clip_is_a_sentence_and_no_cell_among_figures():
    name = "a_folder/" + "v_ApplyEyeMakeup_" * 5 + "g01_c02.avi"
    long = report(names=["a", "b", "c", name])
    sentence = f"Worst clip: 91.2 dB, {name}"
    assert sentence in shown(parity.terminal(long), width=140)
    lines = shown(parity.terminal(long)).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert f"\n\n{sentence.replace('_', chr(92) + '_')}\n\n" in parity.markdown(long)


def test_inspect_keeps_figures_whole_at_80_columns():
    path = "stage0.block0.modulation.focal_temporal1.with.a.name.that.is.far.too.long.for.one.line"
    rows = [Operation("depthwise_conv_2d", path, True, 1_156_055_040), Operation("add", "", False)]
    table = contents._operators(Delegation.of("XNNPACK", 1, rows).rows)
    lines = shown(table).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert re.search(r" depthwise_conv_2d +1 +1,156,055,040 +delegated *$", lines[1])
    assert "".join(line.split("  ")[0].strip() for line in lines[1:-1]) == path
    assert re.search(r"^\(no module\) +add +1 +0 +fell back *$", lines[-1])


def test_a_prediction_names_its_video_and_its_artifact_then_classes_then_notes():
    entries = (ClassProbability(name="Archery [x]", probability=0.75), ClassProbability(name="b", probability=0.25))
    made = Prediction(
        video="a\n.avi", model="nano", target="tflite", recipe="fp16", classes=entries, notes=("Seeded weights.",)
    )
    lines = [line.rstrip() for line in shown(prediction.terminal(made)).splitlines()]
    assert lines[0] == "a\\n.avi, by nano/tflite/fp16"
    assert lines[1:3] == [" 75.0%  Archery [x]  " + "█" * 18, " 25.0%  b            " + "█" * 6]
    assert lines[3:] == ["", "Seeded weights."]


def test_the_terminal_shows_the_worst_few_clips_or_with_verbose_all():
    names = [f"clip{index:02d}" for index in range(20)]
    reference = np.tile([10.0, 4.0], (20, 1))
    noise = np.zeros_like(reference)
    noise[:, 1] = np.arange(20) / 1000
    many = decided(artifact(), {}, CLIPS, "checkpoint", measure(reference, reference + noise, names))
    few = shown(parity.terminal(many))
    assert "The worst 5 of 20 clips" in few
    assert re.findall(r"^clip\d\d", few, re.MULTILINE) == ["clip19", "clip18", "clip17", "clip16", "clip15"]
    every = shown(parity.terminal(many, verbose=True))
    assert re.findall(r"^clip\d\d", every, re.MULTILINE) == names


def test_the_terminal_puts_what_is_not_finite_before_flips_before_the_rest():
    text = shown(parity.terminal(failing()))
    order = [text.rindex(name) for name in (NAMES[2], NAMES[1], NAMES[0])]
    assert order == sorted(order)
    assert "The artifact's logits are not finite: 1 value in 1 clip" in text


def test_the_terminal_of_a_deploy_fits_80_columns():
    text = shown(deploy.terminal(summary(report(), failing(), inconclusive())))
    assert text.startswith("FAIL  nano from default student: 3 artifacts; failed: tflite/fp16;")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert re.search(r"^tflite/fp16 +44\.4 MB +99\.9 % +\d+\.\d dB +4 of 4 +12 s +pass *$", text, re.MULTILINE)
    assert re.search(r"^coreml/fp16 +44\.4 MB +99\.9 % +- +- +12 s +inconclusive *$", text, re.MULTILINE)
    assert "coreml/fp16: Core ML artifacts run on macOS only; this is Linux." in text
    assert re.search(r"^Written to out/nano/ *$", text, re.MULTILINE)


@pytest.mark.parametrize("width", [16, 80])
def test_names_that_are_copied_stay_whole_and_no_column_goes(width: int):
    serial = "android:adb-ABCD0123EF-x1Y2z3 (2)._adb-tls-connect._tcp"
    found = FoundDevice(device=serial, kind="physical", model="Some Make of Phone 10 Pro", status="ready")
    text = printed(terminal.devices([found]), width)
    assert re.search(rf"^{re.escape(serial)}  physical  .*  ready *$", text, re.MULTILINE)
    path = "stage0.block0.modulation.focal_temporal1.with.a.long.name"
    rows = [Operation("depthwise_conv_2d", path, True, 1_156_055_040)]
    text = printed(contents._operators(Delegation.of("XNNPACK", 1, rows).rows), width)
    assert re.search(rf"^{re.escape(path)} +depthwise_conv_2d +1 +1,156,055,040 +delegated *$", text, re.MULTILINE)


def test_a_narrow_terminal_folds_names_and_never_figures():
    text = shown(deploy.terminal(summary(report(), failing(), inconclusive())), width=63)
    assert re.search(r" 44\.4 MB +99\.9 % +\d+\.\d dB +4 of 4 +12 s +pass *$", text, re.MULTILINE)
    assert re.search(r" 44\.4 MB +99\.9 % +- +- +12 s +inconclusive *$", text, re.MULTILINE)


@pytest.mark.parametrize("render", [parity.terminal, parity.markdown, parity.junit])
def test_no_report_on_what_could_not_run_says_pass(render):
    rendered = render(inconclusive())
    text = rendered if isinstance(rendered, str) else shown(rendered)
    assert "inconclusive" in text.lower()
    assert not re.search(r"\bpass(ed)?\b", text, re.IGNORECASE)


@pytest.mark.parametrize(
    ("reports", "verdict", "codes"),
    [
        ((report(),), Verdict.PASS, (0, 0)),
        ((report(), inconclusive()), Verdict.INCONCLUSIVE, (0, 7)),
        ((inconclusive(), failing(), report()), Verdict.FAIL, (5, 5)),
    ],
)
def test_a_deploy_ends_with_its_worst_and_names_what_it_could_not_decide(reports, verdict, codes):
    made = summary(*reports)
    assert made.verdict is verdict
    assert (made.exit_code(), made.exit_code(strict=True)) == codes
    assert made.undecided == (("coreml/fp16",) if inconclusive() in reports else ())
    assert any("nothing about accuracy" in note for note in made.notes)


def test_a_deploy_without_artifacts_is_no_result():
    with pytest.raises(ValidationError):
        summary()


def test_figures_are_never_rounded_up_to_what_they_missed():
    assert [percent(share) for share in (1.0, 0.99996, 111 / 112, 0.5, 0.0)] == [
        "100 %",
        "99.9 %",
        "99.1 %",
        "50 %",
        "0 %",
    ]
    assert [decibels(value) for value in (44.97, -3.02, float("inf"), None)] == [
        "44.9 dB",
        "-3.1 dB",
        "inf dB",
        "not finite",
    ]
    assert f"{rounded_down(0.99999999, 7):f}" == "0.9999999"
