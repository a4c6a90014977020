"""Find leaks between two splits: clips cut from one video, by UCF's names, and identical files.

UCF's clips are named `v_<Class>_g<group>_c<clip>`, and all clips of a class and group show one video. Groups may show
the same footage too; a file `linked_groups.txt` in a data set's folder tells which, a class a line, and whatever names
no group is prose:

    Basketball: {g07,g19} {g01,g05}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dvfl_mobile.data.classes import loosely
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.data.walk import file_id
from dvfl_mobile.errors import VideoError
from dvfl_mobile.wording import plural

LINKS_NAME = "linked_groups.txt"

_SET = r"\{\s*g\d+(\s*,\s*g\d+)*\s*\}"
_LINE = re.compile(rf"(?P<class>[\w ()-]+):\s*(?P<sets>({_SET}\s*)+)")
_NAMES_A_GROUP = re.compile(r"\bg\d")
_MOST_BYTES = 2**20

Pair = tuple[str, int]
"""A class, spelled loosely, and one of its groups."""


@dataclass(frozen=True)
class Leak:
    """What two splits share.

    Attributes:
        groups: (class, group) pairs of UCF's names that are in both, or linked to one that is: the same footage.
        videos: files that are in both.
    """

    groups: int = 0
    videos: int = 0

    def __bool__(self) -> bool:
        return bool(self.groups or self.videos)

    def __str__(self) -> str:
        parts = [plural(self.groups, "(class, group) pair")] if self.groups else []
        return " and ".join([*parts, *([plural(self.videos, "video")] if self.videos else [])])


NO_LEAK = Leak()


@dataclass(frozen=True)
class Links:
    """Groups that show the same footage: for each of them, the one that stands for all."""

    first: Mapping[Pair, Pair] = field(default_factory=dict)

    def of(self, ref: VideoRef) -> Pair | None:
        """The footage that a video shows; None where its name doesn't tell."""
        if ref.group is None:
            return None
        # The file's own name tells the class: its folder may be named otherwise.
        name = ref.path.stem.lower().rpartition("_g")[0].removeprefix("v_")
        pair = (loosely(name), ref.group)
        return self.first.get(pair, pair)


def read_links(folder: Path) -> Links:
    """The linked groups that a data set's folder tells of; none where it tells of none.

    Raises:
        VideoError: the list can't be read, or a line that names groups isn't as it should be.
    """
    path = folder / LINKS_NAME
    if not path.is_file():
        return Links()
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise VideoError(f"{path} can't be read: {error}.", hint="Copy it again, as UTF-8 text.") from error
    first: dict[Pair, Pair] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line.strip())
        if found is None and _NAMES_A_GROUP.search(line):
            raise VideoError(
                f"{path}, line {number}: expected <Class>: {{g<group>,g<group>}} …, found {line.strip()}.",
                hint="A link that is misread would let a leak pass: write it as Basketball: {g07,g19} {g01,g05}",
            )
        for linked in re.findall(r"\{([^}]*)\}", found["sets"]) if found else ():
            name = loosely(found["class"]) if found else ""
            first |= _joined(first, {(name, int(group)) for group in re.findall(r"\d+", linked)})
    return Links(first)


def _joined(first: Mapping[Pair, Pair], linked: set[Pair]) -> dict[Pair, Pair]:
    """One more set of linked groups, joined with those before that it shares a group with."""
    heads = {first.get(pair, pair) for pair in linked}
    members = linked | {pair for pair, head in first.items() if head in heads}
    return dict.fromkeys(members, min(members))


def shared(one: Iterable[VideoRef], other: Iterable[VideoRef], links: Links | None = None) -> Leak:
    """What two splits share, by UCF's names and by the files."""
    links = links or Links()
    ones, others = list(one), list(other)
    files = {file_id(ref.path) for ref in ones} & {file_id(ref.path) for ref in others}
    footage = [{pair for ref in refs if (pair := links.of(ref)) is not None} for refs in (ones, others)]
    return Leak(len(footage[0] & footage[1]), len(files))
