"""Find the videos that a list names among those that are there, one for one.

Lists name videos by paths from where their author kept them, and videos get moved and transcoded. So a video is known
by its class's folder and its name without the ending, and the rest of the path decides between several. Where it
doesn't, and where one file would have to be two listed videos, that is an error: a label that is guessed is no label.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from dvfl_mobile.data.classes import composed, loosely
from dvfl_mobile.data.videos import VideoRef, class_in_name
from dvfl_mobile.data.walk import has_ending
from dvfl_mobile.errors import VideoError

_SPLIT_WORDS = frozenset({"train", "training", "test", "testing", "val", "validation", "validate", "valid"})

# How well a file fits: how its folders do, then whether they are spelled as listed, then whether its ending is.
_Fit = tuple[int, bool, bool]
_SAME, _TAIL, _OTHER_PREFIX, _BY_UCF_NAME = range(4)


@dataclass(frozen=True)
class ListedVideo:
    """A video that a list names.

    Attributes:
        text: as the list tells it.
        class_name: by the list.
        path: where the list says it is, with a `/` between folders.
    """

    text: str
    class_name: str
    path: str

    @property
    def key(self) -> tuple[str, ...]:
        """What makes it another listed video than others."""
        return _parts(self.path)


def find_listed(
    listed: Iterable[ListedVideo], there: Sequence[VideoRef], folder: Path, path: Path
) -> dict[tuple[str, ...], VideoRef]:
    """The video of each listed one, by `ListedVideo.key`; what isn't there is left out.

    Args:
        listed: of all lists of a data set, so that no file is taken for two.
        there: the videos that may be meant, all below `folder`.
        path: a list, for errors.

    Raises:
        VideoError: two files could be a listed one, or two listed ones would be the same file.
    """
    by_name: dict[str, list[tuple[tuple[str, ...], VideoRef]]] = defaultdict(list)
    for ref in there:
        parts = _parts(ref.path.relative_to(folder).as_posix())
        by_name[_stem(parts[-1])].append((parts, ref))
    claims: dict[Path, list[tuple[_Fit, ListedVideo]]] = defaultdict(list)
    found: dict[tuple[str, ...], VideoRef] = {}
    for one in {one.key: one for one in listed}.values():
        fitting = sorted(_fitting(one, by_name), key=lambda pair: pair[0])
        if not fitting:
            continue
        best, ref = fitting[0]
        _refuse_second_match(one, [other for fit, other in fitting if fit == best], path)
        claims[ref.path].append((best, one))
        found[one.key] = ref
    for file, several in claims.items():
        for loser in _losers(file, several, path):
            del found[loser.key]
    return found


def _fitting(
    one: ListedVideo, by_name: dict[str, list[tuple[tuple[str, ...], VideoRef]]]
) -> Iterator[tuple[_Fit, VideoRef]]:
    listed = one.key
    for parts, ref in by_name.get(_stem(listed[-1]), ()) if listed else ():
        fit = _fit(one, listed, parts, ref)
        if fit is not None:
            yield fit, ref


def _fit(one: ListedVideo, listed: tuple[str, ...], there: tuple[str, ...], ref: VideoRef) -> _Fit | None:
    """How a file of the same name fits a listed video; None if it is another one."""
    outer, inner = listed[-2::-1], there[-2::-1]
    alike = 0
    while alike < min(len(outer), len(inner)) and loosely(outer[alike]) == loosely(inner[alike]):
        alike += 1
    details = outer[:alike] != inner[:alike], listed[-1] != there[-1]
    if alike == len(outer) == len(inner):
        return _SAME, *details
    if alike and alike in (len(outer), len(inner)):
        return _TAIL, *details
    if _other_split(outer[alike:], inner[alike:]):
        return None
    if alike:
        return _OTHER_PREFIX, *details
    named = class_in_name(ref.path)
    return (_BY_UCF_NAME, *details) if named is not None and loosely(named) == loosely(one.class_name) else None


def _other_split(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether both paths name a split, and not the same."""
    words = [{part.casefold() for part in parts} & _SPLIT_WORDS for parts in (one, other)]
    return all(words) and not words[0] & words[1]


def _refuse_second_match(one: ListedVideo, several: Sequence[VideoRef], path: Path) -> None:
    if len(several) > 1:
        raise VideoError(
            f"{path} lists {one.text}, which could be {several[0].name} or {several[1].name}.",
            hint="Leave one of them there, or write the list with whole paths.",
        )


def _losers(file: Path, claims: Sequence[tuple[_Fit, ListedVideo]], path: Path) -> list[ListedVideo]:
    """Those that aren't there after all: their file fits another listed video better."""
    best = min(fit for fit, _ in claims)
    winners = [one for fit, one in claims if fit == best]
    if len(winners) > 1:
        raise VideoError(
            f"{path}: {winners[0].text} and {winners[1].text} would both be the one file {file}.",
            hint="Lay the videos out as the list names them.",
        )
    return [one for _, one in claims if one is not winners[0]]


def labelled_once(listed: Iterable[tuple[ListedVideo, VideoRef]], path: Path) -> tuple[list[VideoRef], int]:
    """Each video once, with the class that its list gives it, and how many lines said what another had said.

    Raises:
        VideoError: two lines give one video two classes.
    """
    first: dict[Path, tuple[ListedVideo, VideoRef]] = {}
    repeated = 0
    for one, ref in listed:
        known, _ = first.setdefault(ref.path, (one, replace(ref, class_name=composed(one.class_name))))
        if loosely(known.class_name) != loosely(one.class_name):
            raise VideoError(
                f"{path}: {one.text} is listed as {known.class_name} and as {one.class_name}.",
                hint="Remove the line that is wrong.",
            )
        repeated += known is not one
    return [ref for _, ref in first.values()], repeated


def _parts(path: str) -> tuple[str, ...]:
    """The folders and the name of a path, composed, without what doesn't count: the root, `.` and `..` resolved."""
    parts: list[str] = []
    for part in PurePosixPath(composed(path)).parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in ("/", "//", ".", ".."):
            parts.append(part)
    return tuple(parts)


def _stem(name: str) -> str:
    path = PurePosixPath(name)
    return path.stem if has_ending(Path(name)) else name
