"""Evaluation with runners that answer by script: verdicts and exit codes, what is asked of whom, and what is said."""

from __future__ import annotations

import io
import json
import platform
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console

from dvfl_mobile.artifacts import manifest as manifests
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest, TensorEntry
from dvfl_mobile.cli import main as frame
from dvfl_mobile.data.clips import Clip, ClipSpec
from dvfl_mobile.data.datasets import Split
from dvfl_mobile.data.videos import VideoRead, VideoRef
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.documents import Verdict, json_text
from dvfl_mobile.errors import ArtifactError, CheckpointError, OutputError, UsageError, VideoError
from dvfl_mobile.evaluation import evaluate as evaluation
from dvfl_mobile.evaluation import videos as labelling
from dvfl_mobile.evaluation.document import EvaluationReport
from dvfl_mobile.evaluation.evaluate import Question, RunnerPair, evaluate
from dvfl_mobile.evaluation.figures import points, points_up
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.report import evaluation as reports

SPEC = ClipSpec(frames=2, size=32, short_side=36)
CLASSES = ("Archery", "Basketball", "Punch")
HOSTILE = "a|b`*_<b>&[red]x[/red]\x1b[31m\n\udcff"


class Scripted:
    """A runner that chooses, for each video in turn, the class that its script gives; keeps what it was shown."""

    def __init__(self, answers, classes=3) -> None:
        self.facts = {"runtime": "Script", "version": "1", "device": "host", "delegate": None}
        self._answers, self._classes = iter(answers), classes
        self.shown: list[np.ndarray] = []

    def run(self, clips):
        self.shown.append(clips)
        answer = next(self._answers)
        one = np.eye(self._classes, dtype=np.float32)[answer] if isinstance(answer, int) else np.float32(answer)
        return np.broadcast_to(one, (len(clips), self._classes)).copy()

    def time(self, clip, warmup, runs):
        raise NotImplementedError


def make_artifact(folder: Path, target="tflite", classes=CLASSES, weights="checkpoint") -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.bin").write_bytes(b"model")
    made = Manifest(
        model="nano",
        target=target,
        recipe="static_wi8_ai8",
        recipe_meaning="small",
        file="model.bin",
        files=manifests.entries(folder, "model.bin"),
        architecture=Architecture(num_classes=len(classes)),
        classes=classes,
        clip=SPEC,
        inputs=(TensorEntry(name="clip", shape=SPEC.shape, dtype="float32"),),
        outputs=(TensorEntry(name="logits", shape=(1, len(classes)), dtype="float32"),),
        weights=WeightSource(kind=weights, name="a.pth", sha256="0" * 64, size_bytes=1),
        reference=manifests.entry_of(folder / "model.bin", "model.bin"),
        minimum_os="any",
        delegation=Delegation.of("XNNPACK", 1, []),
        tools={},
        command="dvfl-mobile convert",
    )
    manifests.write(made, folder)
    return Artifact(folder, made)


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    return make_artifact(tmp_path / "out/nano/tflite/static_wi8_ai8")


@pytest.fixture
def ask(monkeypatch, artifact):
    """Evaluate with two scripts: videos of the split `labels`, never decoded, and what each of the two says of them."""

    def run(
        labels, reference, found, question=None, artifact=artifact, names=None, classes=CLASSES
    ) -> EvaluationReport:
        refs = [
            VideoRef(Path(f"{index}.avi"), label, classes[label], name=names[index] if names else f"{index}.avi")
            for index, label in enumerate(labels)
        ]
        monkeypatch.setattr(labelling, "find_split", lambda *_, **__: Split(tuple(refs), classes, "ucf, test split"))
        monkeypatch.setattr(labelling, "read_ahead", undecoded)
        use_scripts(monkeypatch, Scripted(reference), Scripted(found))
        return evaluate(artifact, question or Question("ucf"))

    return run


def undecoded(refs, spec, views):
    for ref in refs:
        yield VideoRead(ref, tuple(Clip(np.zeros(spec.shape, np.uint8), ref.name, ref.label) for _ in views))


def use_scripts(monkeypatch, reference, found) -> None:
    monkeypatch.setattr(evaluation, "reference_student", lambda *_: None)
    monkeypatch.setattr(evaluation, "_open_pair", lambda *_: RunnerPair(reference, found, "a.pth"))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, write_video) -> Path:
    """Two splits of small videos, in a folder for each class: 3 of each class to test on, 1 to train on."""
    folder = tmp_path_factory.mktemp("data") / "set"
    video = write_video(folder.parent / "one.mp4", 12)
    for split, count in (("test", 3), ("train", 1)):
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                shutil.copy(video, folder / split / name / f"{name}{index}.mp4")
    return folder


def test_as_good_on_enough_videos_is_a_pass(ask):
    labels = [0, 1] * 200
    report = ask(labels, labels, labels)
    assert (report.verdict, report.verdict.exit_code, report.videos_to_decide) == (Verdict.PASS, 0, None)
    assert report.pooled.drop == 0
    assert 0 < report.pooled.drop_at_most < 0.01
    assert report.reason == (
        "The drop in top-1 is 0.00 points, and at 95 % confidence at most 0.90 points; `max_drop=` allows 1.00 points."
    )


def test_worse_beyond_doubt_is_a_fail(ask):
    labels = [0, 1] * 200
    report = ask(labels, labels, [1] * 40 + labels[40:])
    assert (report.verdict, report.verdict.exit_code) == (Verdict.FAIL, 5)
    assert (report.pooled.lost, report.pooled.gained, report.pooled.drop) == (20, 0, 0.05)
    assert "at least 3." in report.reason


def test_too_few_videos_are_inconclusive_and_say_how_many_would_do(ask):
    labels = [0, 1] * 20
    report = ask(labels, labels, labels)
    assert (report.verdict, report.verdict.exit_code) == (Verdict.INCONCLUSIVE, 7)
    assert report.pooled.bootstrap_high == 0, "the bootstrap is sure of what it can't know"
    assert f"About {report.videos_to_decide:,} videos would decide it" in report.reason
    enough = [0] * report.videos_to_decide
    assert ask(enough, enough, enough).verdict is Verdict.PASS
    assert ask(enough[1:], enough[1:], enough[1:]).verdict is Verdict.INCONCLUSIVE


def test_a_drop_at_the_limit_can_not_be_decided_by_any_number(ask):
    labels = [0] * 100
    report = ask(labels, labels, [1, *labels[1:]])
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.videos_to_decide is None
    assert "so close to it that not even 1,000,000 videos" in report.reason


def test_confidence_and_allowed_drop_are_the_askers(ask):
    labels = [0] * 100
    assert ask(labels, labels, labels, Question("ucf", max_drop=0.05)).verdict is Verdict.PASS
    assert ask(labels, labels, labels, Question("ucf", max_drop=0.05, confidence=0.9999)).verdict is not Verdict.PASS


def test_the_figures_by_hand(ask):
    labels = [0, 0, 0, 1, 1, 2]
    report = ask(labels, [0, 0, 1, 1, 2, 0], [0, 1, 0, 1, 2, 2])
    pooled = report.pooled
    assert (pooled.both_right, pooled.lost, pooled.gained, pooled.both_wrong) == (2, 1, 2, 1)
    assert (pooled.agreeing, pooled.mcnemar_p) == (3, 1.0)
    assert pooled.drop == pytest.approx(-1 / 6)
    assert (pooled.reference.top1.right, pooled.artifact.top1.right) == (3, 4)
    assert pooled.reference.top5.right == pooled.artifact.top5.right == 6
    assert [(one.name, one.videos, one.reference_right, one.artifact_right) for one in report.classes] == [
        ("Archery", 3, 2, 2),
        ("Basketball", 2, 1, 1),
        ("Punch", 1, 0, 1),
    ]
    assert [row.agree for row in report.rows] == [True, False, False, True, True, False]


def test_top5_is_the_five_likeliest():
    falling = np.float32([[7, 6, 5, 4, 3, 2, 1]])
    for label, inside in ((4, True), (5, False)):
        row = evaluation._outcome("x", label, falling, falling[:, ::-1])
        assert (row.reference_in_top5, row.artifact_in_top5) == (inside, True)


def test_views_are_joined_by_their_probabilities_and_not_by_their_logits():
    logits = np.float32([[9, 0, 0], [0, 3, 0], [0, 3, 0]])
    assert logits.mean(axis=0).argmax() == 0
    assert evaluation._outcome("x", 1, logits, logits).reference_top1 == 1


def test_both_are_shown_the_very_same_views(monkeypatch, artifact, labelled):
    one, other = Scripted([0] * 9), Scripted([0] * 9)
    use_scripts(monkeypatch, one, other)
    report = evaluate(artifact, Question(labelled, views=4, crops=3))
    assert (report.views, report.crops, report.videos.count) == (4, 3, 9)
    assert [shown.shape for shown in one.shown] == [(12, *SPEC.shape)] * 9
    assert all(np.array_equal(left, right) for left, right in zip(one.shown, other.shown, strict=True))
    assert len({shown[view].tobytes() for shown in one.shown[:1] for view in range(12)}) > 1


def test_each_split_is_its_own(monkeypatch, artifact, labelled):
    for split, count in (("test", 9), ("train", 3)):
        use_scripts(monkeypatch, Scripted([0] * count), Scripted([0] * count))
        report = evaluate(artifact, Question(labelled, split=split))
        assert (report.split, report.videos.count) == (split, count)
        assert report.pooled.reference.top1.right == count // 3


def test_a_folder_without_splits_is_taken_whole_and_says_so(monkeypatch, artifact, labelled):
    use_scripts(monkeypatch, Scripted([0] * 9), Scripted([0] * 9))
    report = evaluate(artifact, Question(labelled / "test"))
    assert report.split == "all"
    assert any("gives no split" in note for note in report.videos.notes)


def test_names_that_are_only_assumed_are_taken_from_the_split(monkeypatch, tmp_path, labelled):
    made = make_artifact(tmp_path / "unnamed", classes=("class_0", "class_1", "class_2"))
    use_scripts(monkeypatch, Scripted([0] * 9), Scripted([0] * 9))
    report = evaluate(made, Question(labelled))
    assert report.artifact.classes == CLASSES
    [note] = [note for note in report.videos.notes if "Class names" in note]
    assert note == ("Class names aren't known to the artifact: the split's 3 classes were taken in alphabetical order.")
    assert [one.name for one in report.classes] == list(CLASSES)


def test_names_that_are_only_assumed_do_not_fit_another_number(tmp_path, labelled):
    made = make_artifact(tmp_path / "unnamed", classes=("class_0", "class_1"))
    with pytest.raises(VideoError, match=r"3 classes \(Archery, Basketball, Punch\), and the artifact has 2"):
        evaluate(made, Question(labelled))


def test_numbers_in_a_list_are_the_models_own(monkeypatch, tmp_path, labelled):
    made = make_artifact(tmp_path / "unnamed", classes=("class_0", "class_1", "class_2"))
    listed = tmp_path / "list.csv"
    listed.write_text(f"{labelled / 'test/Punch/Punch0.mp4'},2\n")
    use_scripts(monkeypatch, Scripted([2]), Scripted([2]))
    assert evaluate(made, Question(listed)).pooled.both_right == 1
    listed.write_text(f"{labelled / 'test/Punch/Punch0.mp4'},3\n")
    with pytest.raises(VideoError, match="label 3; the artifact has 3 classes, 0 to 2"):
        evaluate(made, Question(listed))


def test_classes_of_another_world_are_named_beside_the_models(tmp_path, labelled):
    made = make_artifact(tmp_path / "other", classes=("abseiling", "air drumming"))
    with pytest.raises(VideoError, match=r"3 classes of .*Archery, Basketball, Punch.*artifact's 2 \(abseiling"):
        evaluate(made, Question(labelled))


def test_videos_without_labels_can_not_be_right_or_wrong(artifact, labelled):
    with pytest.raises(VideoError, match=r"no label is known for 1 of 1 video; the first is Punch0\.mp4") as caught:
        evaluate(artifact, Question(labelled / "test/Punch/Punch0.mp4"))
    assert caught.value.exit_code == 3
    assert "folder named as its class" in caught.value.hint


def test_what_can_not_be_read_is_counted_and_named(monkeypatch, artifact, labelled, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(labelled / "test", copy)
    (copy / "Punch/Punch1.mp4").write_bytes(b"no video")
    use_scripts(monkeypatch, Scripted([0] * 8), Scripted([0] * 8))
    report = evaluate(artifact, Question(copy))
    assert report.videos.count == report.pooled.videos == 8
    assert "1 of 9 videos could not be read and don't count." in report.videos.notes
    assert any(note.startswith("Not read: ") and "Punch1.mp4" in note for note in report.videos.notes)


def test_damage_is_noted(monkeypatch, ask):
    report = ask([0], [0], [0])
    assert report.videos.notes == ()
    clip = Clip(np.zeros(SPEC.shape, np.uint8), "a.avi", 0, "3 of 12 frames could not be decoded.")
    monkeypatch.setattr(labelling, "read_ahead", lambda refs, *_: (VideoRead(ref, (clip,)) for ref in refs))
    pair = RunnerPair(Scripted([0]), Scripted([0]), "a.pth")
    chosen = labelling.ChosenVideos((VideoRef(Path("a.avi"), 0),), CLASSES, "ucf", "test", ())
    answers = evaluation._ask(pair, chosen, SPEC, [], None, lambda: None)
    assert answers.notes[-1] == "a.avi: 3 of 12 frames could not be decoded."


def test_if_nothing_can_be_read_there_is_no_result(monkeypatch, artifact, tmp_path):
    for name in CLASSES:
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "a.mp4").write_bytes(b"no video")
    use_scripts(monkeypatch, Scripted([]), Scripted([]))
    with pytest.raises(VideoError, match=r"None of the 3 videos in .* could be read\. The first: "):
        evaluate(artifact, Question(tmp_path / "broken"))


def test_at_most_so_many_videos_spread_by_class(ask):
    labels = [0] * 10 + [1] * 2 + [2] * 10
    report = ask(labels, labels, labels, Question("ucf", most=9))
    assert [one.videos for one in report.classes] == [4, 2, 3]
    assert "9 of 22 videos, spread evenly by class; `most=` takes more." in report.videos.notes
    assert [row.name for row in report.rows[:4]] == ["0.avi", "2.avi", "5.avi", "7.avi"]
    few = ask(labels, labels, labels, Question("ucf", most=2))
    assert [one.name for one in few.classes] == ["Archery", "Basketball"]
    assert ask(labels, labels, labels, Question("ucf", most=22)).videos.notes == ()


def test_an_artifact_that_nothing_here_runs_is_inconclusive(monkeypatch, tmp_path, ask):
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    made = make_artifact(tmp_path / "coreai", target="coreai")
    report = ask([0], [0], [0], artifact=made)
    assert (report.verdict, report.pooled, report.rows) == (Verdict.INCONCLUSIVE, None, ())
    assert "Darwin and Linux only" in report.reason
    for text in (shown(report), reports.markdown(report), reports.junit(report)):
        assert "inconclusive" in text.lower()
        assert "pass" not in text.lower()
    [suite] = ET.fromstring(reports.junit(report))
    assert (suite.get("tests"), suite.get("skipped")) == ("1", "1")
    (made.folder / "model.bin").write_bytes(b"other")
    with pytest.raises(ArtifactError, match="bytes changed"):
        ask([0], [0], [0], artifact=made)


def test_logits_that_are_not_finite_count_as_wrong_and_are_named(ask):
    report = ask([0, 0], [0, 0], [0, [np.nan, 0, 0]])
    assert (report.pooled.lost, report.rows[1].artifact_top1, report.rows[1].artifact_in_top5) == (1, None, False)
    assert "The artifact's logits are not finite on 1 video, counted as wrong: 1.avi." in report.videos.notes
    with pytest.raises(CheckpointError, match=r"own logits on 0\.avi are not finite"):
        ask([0], [[np.inf, 0, 0]], [0])


def test_seeded_weights_say_that_accuracy_means_nothing(tmp_path, ask):
    made = make_artifact(tmp_path / "seeded", weights="seeded")
    report = ask([0] * 400, [0] * 400, [0] * 400, artifact=made)
    assert report.verdict is Verdict.PASS
    assert any("nothing about accuracy" in note for note in report.notes)


def test_the_report_is_left_beside_the_artifact_where_that_can_be_written(monkeypatch, ask, artifact):
    report = ask([0], [0], [0])
    stored = artifact.folder / "evaluation.json"
    assert EvaluationReport.model_validate_json(stored.read_text(encoding="utf-8")) == report

    def refuse(*_):
        raise OutputError("full")

    monkeypatch.setattr("dvfl_mobile.documents.write_text", refuse)
    assert ask([0], [0], [0]) == report


def test_json_is_strict_and_can_say_no_more_than_its_figures(ask):
    report = ask([0] * 40, [0] * 40, [0] * 39 + [1])
    document = json.loads(json_text(report), parse_constant=lambda token: pytest.fail(token))
    assert document["schema_version"] == 1
    assert document["rows"][39] == {
        "name": "39.avi",
        "label": 0,
        "reference_top1": 0,
        "artifact_top1": 1,
        "reference_in_top5": True,
        "artifact_in_top5": True,
        "agree": False,
    }
    for change in ({"verdict": "pass"}, {"verdict": "fail"}, {"pooled": None, "verdict": "pass"}):
        with pytest.raises(ValidationError, match="does not follow"):
            EvaluationReport.model_validate(document | change)


def shown(report: EvaluationReport, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(reports.terminal(report))
    return console.export_text()


def test_the_terminal_gives_the_verdict_first_and_fits_80_columns(ask):
    labels = [0, 1] * 200
    text = shown(ask(labels, labels, [1] * 40 + labels[40:]))
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == "FAIL  nano/tflite/static_wi8_ai8 on ucf, test split"
    assert all(len(line) <= 80 for line in lines)
    assert "400 videos, 1 clip of each. Runner: Script 1 (device host)." in lines[1]
    for cells in (
        ("top-1 right", "400 of 400, 100 %", "380 of 400, 95 %"),
        ("same class chosen", "380 of 400"),
        ("lost: right in the reference, wrong in the artifact", "20"),
        ("drop in top-1", "5.00 points"),
        ("Archery", "200", "200", "180", "20", "0"),
    ):
        assert any(line.split() == " ".join(cells).split() for line in lines), cells


def test_many_classes_show_those_that_dropped_most(ask):
    logits = np.eye(40, dtype=np.float32)
    rows = [evaluation._outcome("x", one, logits[[one]], logits[[0 if one == 33 else one]]) for one in range(40)]
    classes = evaluation.by_class(rows, "sport{:02d}".format)
    many = ask([0], [0], [0]).model_copy(update={"classes": classes})
    text = shown(many)
    assert "Right, by class: the 30 of 40 that dropped most" in text
    assert text.index("sport33") < text.index("sport00")
    assert len(ET.fromstring(reports.junit(many)).findall(".//testcase")) == 41


def test_junit_has_a_case_for_the_verdict_and_one_for_each_class(ask):
    labels = [0, 1] * 200
    failed = ET.fromstring(reports.junit(ask(labels, labels, [1] * 40 + labels[40:])))
    cases = {case.get("name"): case for case in failed.iter("testcase")}
    assert list(cases) == ["verdict", "Archery", "Basketball"]
    assert [name for name, case in cases.items() if case.find("failure") is not None] == ["verdict", "Archery"]
    message = cases["Archery"].find("failure").get("message")
    assert message == "Right of 200 videos: reference 200, artifact 180; 20 lost, 0 gained."
    passed = ET.fromstring(reports.junit(ask(labels, labels, labels)))
    assert (passed.get("failures"), passed.get("skipped")) == ("0", "0")
    undecided = ET.fromstring(reports.junit(ask([0, 1], [0, 1], [1, 1])))
    assert (undecided.get("failures"), undecided.get("skipped")) == ("0", "3")


def test_foreign_names_break_no_report(tmp_path, ask):
    classes = (HOSTILE, "Basketball", "Punch")
    made = make_artifact(tmp_path / "hostile", classes=("x|", "Basketball", "Punch"))
    report = ask([0, 1], [0, 1], [0, 0], artifact=made, names=[HOSTILE, "b"], classes=classes)
    ET.fromstring(reports.junit(report).encode())
    assert "x\\|" in reports.markdown(report)
    tables = [line for line in reports.markdown(report).splitlines() if line.startswith("| x")]
    assert len(tables) == 1
    assert report.rows[0].name == "a|b`*_<b>&[red]x[/red]\\x1b[31m\\n\\udcff"
    shown(report)


def test_points_are_cut_towards_what_the_verdict_says():
    assert [points(share) for share in (0.01, 0.29, 0.00999, -0.00001, 0.0)] == [
        "1.00 points",
        "29.00 points",
        "0.99 points",
        "-0.01 points",
        "0.00 points",
    ]
    assert [points_up(share) for share in (0.0100001, -0.00001, 0.01)] == ["1.01 points", "0.00 points", "1.00 points"]


@pytest.mark.parametrize(
    "settings", [{"max_drop": 1.5}, {"max_drop": -0.1}, {"confidence": 0.3}, {"confidence": 1.0}, {"max_drop": np.nan}]
)
def test_a_question_that_can_not_be_meant(settings):
    with pytest.raises(UsageError) as caught:
        Question("ucf", **settings)
    assert caught.value.hint


def test_two_crops_are_refused_before_any_work(artifact):
    with pytest.raises(UsageError, match="2 crops"):
        evaluate(artifact, Question("nowhere", crops=2))


@pytest.mark.parametrize(("wrong", "max_drop", "code"), [(0, "0.9", 0), (9, "0.01", 5), (0, "0.01", 7)])
def test_the_command_ends_with_its_verdict(monkeypatch, artifact, labelled, tmp_path, capfd, wrong, max_drop, code):
    truth = [label for label in range(3) for _ in range(3)]
    use_scripts(monkeypatch, Scripted(truth), Scripted([(one + 1) % 3 for one in truth[:wrong]] + truth[wrong:]))
    files = ["--junit", str(tmp_path / "e.xml"), "--markdown", str(tmp_path / "e.md")]
    asked = ["evaluate", str(artifact.folder), "--data", str(labelled), "--max-drop", max_drop, "--json", *files]
    with pytest.raises(SystemExit) as end:
        frame.main(asked)
    out, err = capfd.readouterr()
    assert end.value.code == code, err
    document = json.loads(out)
    assert Verdict(document["verdict"]).exit_code == code
    assert document["videos"]["count"] == 9
    assert ET.parse(tmp_path / "e.xml").getroot().get("tests") == "4"
    assert document["verdict"] in (tmp_path / "e.md").read_text(encoding="utf-8")
    assert "PyTorch and tflite … " in err


def test_the_command_needs_data(artifact, capfd):
    with pytest.raises(SystemExit) as end:
        frame.main(["evaluate", str(artifact.folder)])
    assert end.value.code == 2
    assert "--data" in capfd.readouterr().err
