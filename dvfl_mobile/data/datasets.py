"""The known data sets, and the split of any source of videos: a data set's name, a folder, or a list."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dvfl_mobile.data.classes import ClassNames, loosely
from dvfl_mobile.data.layouts.dvfl import dvfl_lists
from dvfl_mobile.data.layouts.folders import no_split, split_folders
from dvfl_mobile.data.layouts.hmdb import hmdb_lists
from dvfl_mobile.data.layouts.kinetics import kinetics_folders, kinetics_lists
from dvfl_mobile.data.layouts.request import Found, Layout, SplitName, SplitRequest, names_by_label
from dvfl_mobile.data.layouts.ssv2 import ssv2_lists
from dvfl_mobile.data.layouts.ucf import regrouped, ucf_groups, ucf_lists
from dvfl_mobile.data.leaks import NO_LEAK, Leak, read_links, shared
from dvfl_mobile.data.root import DATA_VARIABLE
from dvfl_mobile.data.videos import VideoRef, find_videos
from dvfl_mobile.data.walk import visible
from dvfl_mobile.errors import VideoError
from dvfl_mobile.spelling import option

__all__ = ["DATA_SETS", "DataSet", "Place", "Split", "SplitName", "find_split", "place_of"]


@dataclass(frozen=True)
class DataSet:
    """A published data set.

    Attributes:
        class_count: how many classes the publisher gives it.
        folders: what its folder is called, in the order looked for; case, spaces, `_` and `-` don't matter.
        page: where its publisher offers it.
        layouts: the functions that read its split, tried in turn.
        drawing: how its folder should look.
        videos: how many the publisher gives it, in all, to train on and to test on; None where nobody says, or where
            the number shrinks as videos vanish.
    """

    class_count: int
    folders: tuple[str, ...]
    page: str
    layouts: tuple[Layout, ...]
    drawing: str
    videos: tuple[int | None, int | None, int | None] = (None, None, None)


DATA_SETS: dict[str, DataSet] = {
    "ucf50": DataSet(
        50,
        ("UCF50", "UCF-50"),
        "https://www.crcv.ucf.edu/data/UCF50.php",
        (dvfl_lists, ucf_groups),
        """
UCF50/
    BaseballPitch/v_BaseballPitch_g01_c01.avi
    …
    train.csv, val.csv          (DVFL-Net's own lists; may be missing)""",
        (6681, None, None),
    ),
    "ucf101": DataSet(
        101,
        ("UCF101", "UCF-101"),
        "https://www.crcv.ucf.edu/data/UCF101.php",
        (ucf_lists, dvfl_lists, ucf_groups),
        """
UCF101/
    ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi
    …
    ucfTrainTestlist/          (may be missing, or lie beside UCF101/)
        classInd.txt, trainlist01.txt, testlist01.txt""",
        (13320, 9537, 3783),
    ),
    "hmdb51": DataSet(
        51,
        ("HMDB51", "hmdb51_org", "HMDB"),
        "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database/",
        (hmdb_lists, dvfl_lists),
        """
hmdb51/
    brush_hair/*.avi
    …
    testTrainMulti_7030_splits/          (or splits/; may lie beside hmdb51/)
        brush_hair_test_split1.txt
        …""",
        (6766, 3570, 1530),
    ),
    "ssv2": DataSet(
        174,
        ("ssv2", "something-something-v2", "sthv2", "20bn-something-something-v2"),
        "https://www.qualcomm.com/developer/software/something-something-v-2-dataset",
        (ssv2_lists,),
        """
ssv2/
    20bn-something-something-v2/*.webm          (or videos/)
    labels/
        labels.json, train.json, validation.json          (or something-something-v2-….json)""",
        (220847, 168913, 24777),
    ),
    "kinetics400": DataSet(
        400,
        ("kinetics400", "k400"),
        "https://github.com/cvdfoundation/kinetics-dataset",
        (kinetics_lists, kinetics_folders),
        """
kinetics400/
    train/abseiling/*.mp4
    val/abseiling/*.mp4
    …
  or
kinetics400/
    annotations/
        train.csv, val.csv
    train/<youtube id>_<start, 6 digits>_<end, 6 digits>.mp4
    val/…""",
    ),
}

GROUPS = "groups"
# What a folder is tried for that is given by its path and isn't called as a data set is.
_LAYOUTS = (ucf_lists, hmdb_lists, ssv2_lists, kinetics_lists, dvfl_lists, split_folders, ucf_groups)
_INNER_FOLDERS = frozenset({"videos", *(loosely(name) for known in DATA_SETS.values() for name in known.folders)})


@dataclass(frozen=True)
class Split:
    """Videos of one split.

    Attributes:
        refs: with label and class_name where they are known.
        classes: names in the order of the labels; empty if the source names none.
        source: what reports call it, such as `ucf50, training split`.
        notes: sentences that a reader must know.
        is_split: False where the source gives no split, and everything in it was taken.
        missing: videos that its list names and that aren't there, as the list tells them.
        leak: what it shares with the source's other split, by UCF's groups.
    """

    refs: tuple[VideoRef, ...]
    classes: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
    is_split: bool = True
    missing: tuple[str, ...] = ()
    leak: Leak = NO_LEAK


@dataclass(frozen=True)
class Place:
    """Where a source of videos is: `name` of a known data set or None, and its folder or file."""

    name: str | None
    path: Path


def find_split(
    source: str | Path, split: SplitName, *, data_root: Path | None = None, classes: Sequence[str] | None = None
) -> Split:
    """Find the videos of one split of `source`.

    - **A name** of `DATA_SETS`, or one of its folder's spellings: looked for right under `data_root`, or else under
      the folder that the environment variable DVFL_MOBILE_DATA names. Where it isn't there, a path of that name is.
    - **A folder**: laid out as one of the data sets, or in `train` and `test`, or with videos named as UCF's are,
      which are split by group. Any other is taken whole, and `is_split` is False.
    - **A `.csv`**, `path,label` a line: a split by itself, whichever is asked for.
    - **`NAME:groups` or `FOLDER:groups`**: the same videos, split by UCF's groups whatever lists and folders say.

    Listed videos that aren't there are left out, and counted in a note.

    Args:
        classes: the model's class names, which give the labels and are matched as `find_videos` does. None takes the
            data set's own order, or else the names found, in alphabetical order; the same for both splits.

    Raises:
        VideoError: there is no such data set or path, it isn't laid out as it should be, or the split has no videos.
    """
    whole, colon, way = str(source).rpartition(":")
    if colon and way == GROUPS:
        return _by_groups(place_of(whole, data_root), str(source), split, classes)
    place = place_of(source, data_root)
    if place.name is not None:
        return _by_name(place.name, place.path, split, classes)
    return _by_folder(place.path, split, classes) if place.path.is_dir() else _by_file(place.path, classes)


def place_of(source: str | Path, data_root: Path | None = None) -> Place:
    """Where the videos of a source are, as `find_split` looks for them.

    Raises:
        VideoError: there is no such data set or path.
    """
    name = _known_name(str(source))
    folder = _look_for(name, data_root) if name else None
    if name and folder:
        return Place(name, folder)
    path = Path(source)
    if path.exists() or path.suffix.lower() == ".csv":
        return Place(None, path)
    raise _not_found(name, data_root) if name else _no_such(source)


def _known_name(word: str) -> str | None:
    """The data set that a word names, or that a folder called so holds."""
    spelled = loosely(word)
    return next((name for name in DATA_SETS if spelled in _spellings(name)), None)


def _spellings(name: str) -> list[str]:
    return [loosely(spelled) for spelled in (name, *DATA_SETS[name].folders)]


def _root(data_root: Path | None) -> Path | None:
    set_root = os.environ.get(DATA_VARIABLE)
    return data_root or (Path(set_root) if set_root else None)


def _look_for(name: str, data_root: Path | None) -> Path | None:
    root = _root(data_root)
    if root is None or not root.is_dir():
        return None
    there = {loosely(path.name): path for path in reversed(visible(root)) if path.is_dir()}
    return next((there[spelled] for spelled in _spellings(name) if spelled in there), None)


def _by_name(name: str, folder: Path, split: SplitName, classes: Sequence[str] | None) -> Split:
    request = _request(folder, split, classes, is_known=True)
    found = next(_found(DATA_SETS[name].layouts, request), None)
    if found is None:
        raise VideoError(
            f"{folder} doesn't look as {name} should, so its {_called(split)} split can't be read.",
            hint=_how_it_looks(name),
        )
    return _as_split(name, request, found, DATA_SETS[name].layouts)


def _by_folder(folder: Path, split: SplitName, classes: Sequence[str] | None) -> Split:
    name = _known_name(folder.absolute().name)
    request = _request(folder, split, classes, is_known=name is not None)
    layouts = (*DATA_SETS[name].layouts, split_folders, ucf_groups) if name else _LAYOUTS
    found = next(_found(layouts, request), None) or no_split(request)
    return _as_split(str(folder), request, found, layouts)


def _by_groups(place: Place, source: str, split: SplitName, classes: Sequence[str] | None) -> Split:
    request = _request(place.path, split, classes, is_known=place.name is not None)
    found = regrouped(request) if place.path.is_dir() else None
    if found is None:
        raise VideoError(
            f"{place.path} can't be split by group: not all of its videos are named as UCF's are.",
            hint="Videos of UCF50 and UCF101 are named v_<Class>_g<group>_c<clip>; leave :groups out for others.",
        )
    return _as_split(source, request, found, (regrouped,))


def _by_file(path: Path, classes: Sequence[str] | None) -> Split:
    refs = tuple(find_videos(path, classes))
    names = names_by_label(refs) if classes is None else tuple(classes)
    if path.suffix.lower() == ".csv":
        return Split(refs, names, str(path), _doubts(refs, ClassNames(names)))
    note = f"{path} is one video, taken for training and for testing alike."
    return Split(refs, names, str(path), (note,), is_split=False)


def _doubts(refs: Sequence[VideoRef], known: ClassNames) -> tuple[str, ...]:
    """A note where a list's labels fit, and the folders that its videos lie in say otherwise."""
    labels = {ref.label for ref in refs if ref.label is not None}
    other = next((ref for ref in refs if known.find(ref.path.parent.name) not in (None, ref.label)), None)
    if other is not None:
        return (
            f"{other.name} lies in {other.path.parent.name}, which is class {known.find(other.path.parent.name)}, and "
            f"its label is {other.label} ({other.class_name}): labels count from 0.",
        )
    folders = {(ref.path.parent.name, ref.label) for ref in refs}
    if 0 not in labels and len(labels) == len(folders) > 1:
        return (f"Labels go from {min(labels)} to {max(labels)}, and no video has 0: labels count from 0.",)
    return ()


def _request(folder: Path, split: SplitName, classes: Sequence[str] | None, *, is_known: bool) -> SplitRequest:
    # Lists beside a folder count only if the folder's name says whose they are: many data sets may lie side by side.
    places = (folder, folder.absolute().parent) if is_known else (folder,)
    return SplitRequest(folder, split, classes, places, _INNER_FOLDERS)


def _found(layouts: Sequence[Layout], request: SplitRequest) -> Iterator[Found]:
    for layout in layouts:
        found = layout(request)
        if found is not None:
            yield found


def _as_split(source: str, request: SplitRequest, found: Found, layouts: Sequence[Layout]) -> Split:
    called = f"{source}, {_called(request.split)} split" if found.is_split else source
    if not found.refs:
        raise VideoError(
            f"{called}: not one video of it is in {request.folder}.", hint="Add some, or name another source."
        )
    notes = found.notes
    leak = _leak(request, found, layouts)
    if leak:
        notes += (f"Training and test share {leak}: clips cut from one video are in both.",)
    if request.classes is not None and all(ref.label is None for ref in found.refs):
        notes += (f"{source} tells no class that the model knows, so its videos have no labels.",)
    return Split(tuple(found.refs), tuple(found.classes), called, notes, found.is_split, found.missing, leak)


def _leak(request: SplitRequest, found: Found, layouts: Sequence[Layout]) -> Leak:
    """What a split shares with the other one of its source; nothing where no name tells a group."""
    if not found.is_split or all(ref.group is None for ref in found.refs):
        return NO_LEAK
    try:
        other = next(_found(layouts, replace(request, split="test" if request.split == "train" else "train")), None)
    except VideoError:  # it isn't there, or can't be read: that is for whoever asks for it
        return NO_LEAK
    return shared(found.refs, other.refs if other else (), read_links(request.folder))


def _called(split: SplitName) -> str:
    return "training" if split == "train" else "test"


def _not_found(name: str, data_root: Path | None) -> VideoError:
    root = _root(data_root)
    places = [str(Path(root, folder)) for folder in DATA_SETS[name].folders] if root else []
    looked = f"looked for {', '.join([*places, f'./{name}'])}"
    unset = "" if root else f", and {DATA_VARIABLE} isn't set to a folder of data sets"
    return VideoError(f"The data set {name} isn't here: {looked}{unset}.", hint=_how_it_looks(name))


def _no_such(source: str | Path) -> VideoError:
    return VideoError(
        f"{source} is neither a file, nor a folder, nor a data set's name.",
        hint=f"Known names are {', '.join(DATA_SETS)}.",
    )


def _how_it_looks(name: str) -> str:
    data_set = DATA_SETS[name]
    return (
        f"Its publisher offers it on {data_set.page}. Put its folder into the one that {option('data_root')} or "
        f"{DATA_VARIABLE} names, looking so:{data_set.drawing}"
    )
