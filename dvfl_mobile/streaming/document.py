"""StreamReport: what an artifact says over time, by which policy, and how right it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.streaming.figures import StreamFigures
from dvfl_mobile.streaming.pace import Pace
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.streaming.sweep import SweepRow


class Guess(Document):
    """A class and its smoothed probability, 0 to 1."""

    name: Line
    probability: FiniteFloat


class StreamAnswer(Document):
    """What is said at one instant.

    Attributes:
        seconds: from the stream's first frame on.
        label: None: "don't know".
        top: the likeliest three classes, by smoothed probability.
    """

    seconds: FiniteFloat
    label: Line | None
    probability: FiniteFloat
    top: tuple[Guess, ...]


class StreamVideo(Document):
    """One video of a stream, and when it is on; `label` is its class, where that is known."""

    name: Line
    start_s: FiniteFloat
    end_s: FiniteFloat
    label: Line | None


class StreamScene(Document):
    """One scene of a labelled stream.

    Attributes:
        is_cut: whether what was on before is of another class.
        right: the share of the time in which its label is said.
        decided_s: from the cut to the first right answer; None where there is none, or no cut.
    """

    start_s: FiniteFloat
    end_s: FiniteFloat
    label: Line
    is_cut: bool
    right: FiniteFloat
    decided_s: FiniteFloat | None


class StreamReport(Document):
    """What came of running an artifact over a stream.

    Attributes:
        source: what was watched, in words.
        classes: the model's, by the names that the answers have.
        duration_s: from the first frame to the end of the last.
        scenes, figures: empty and None where not every video has a label.
        sweep: of policies around `policy`; empty where none was asked for.
        paces: of devices, where a profile was given.
        seed: of the order of what was played, and of the intervals.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    artifact: ArtifactFacts
    runner: Line
    policy: Policy
    clip: ClipSpec
    source: Line
    classes: tuple[Line, ...]
    duration_s: FiniteFloat = Field(gt=0)
    videos: tuple[StreamVideo, ...]
    answers: tuple[StreamAnswer, ...]
    scenes: tuple[StreamScene, ...] = ()
    figures: StreamFigures | None = None
    sweep: tuple[SweepRow, ...] = ()
    paces: tuple[Pace, ...] = ()
    seed: int = 0
    notes: tuple[Line, ...] = ()

    @property
    def spans(self) -> list[tuple[float, float, str | None]]:
        """Stretches in which the same is said: from, to (in seconds) and the label; the last goes on to the end."""
        found: list[tuple[float, float, str | None]] = []
        ends = [*(answer.seconds for answer in self.answers[1:]), self.duration_s]
        for answer, end in zip(self.answers, ends, strict=True):
            if found and found[-1][2] == answer.label:
                found[-1] = (found[-1][0], end, answer.label)
            else:
                found.append((answer.seconds, end, answer.label))
        return found
