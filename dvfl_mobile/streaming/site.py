"""The live page for an artifact, as a folder of files: its own, LiteRT.js, the model, and what it needs to know.

Every name lies flat in the folder, and every address in the files is relative, so that it works below any address.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.data.clips import ClipSpec, prepare
from dvfl_mobile.devices.shipped import shipped_folder
from dvfl_mobile.devices.web.library import VERSION, library_folder
from dvfl_mobile.devices.web.place import page_folder
from dvfl_mobile.devices.web.runner import for_page, holds_float16, page_values, takes_int8
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import InconclusiveError, OutputError
from dvfl_mobile.files import atomic_directory, directory_lock
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.streaming.policy import Policy
from dvfl_mobile.version import __version__

DESCRIPTION, MODEL, WORKER = "live.json", "model.tflite", "service-worker.js"

_TARGET = "tflite"
_README = "README.md"
_LEVELS = 256
# Of the folder of pages that do as this tool says, what this one uses too.
_COMMON = ("engine.js", "facts.js", "policy.js")
_TEMPLATES = (WORKER, _README)
# Nobody's browser asks for these.
_NOT_KEPT = (_README, "LICENSE")


class LivePage(Document):
    """What the page has to know: `live.json`.

    Attributes:
        file, sha256: of the model as the page runs it, which takes float32.
        levels: what the model's input holds for each level, 0 to 255, of each channel.
        offline: whether it is to be kept for when there is no network.
        notes: what a reader must know of the model.
    """

    schema_version: Literal[1] = 1
    model: Line
    target: str
    recipe: str
    file: str
    size_bytes: int = Field(ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    classes: tuple[Line, ...] = Field(min_length=1)
    clip: ClipSpec
    levels: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    policy: Policy
    runtime: str
    offline: bool
    notes: tuple[Line, ...]


@dataclass(frozen=True)
class Site:
    """A folder with the page.

    Attributes:
        files: SHA-256 of each, by its name.
    """

    folder: Path
    files: dict[str, str]
    size_bytes: int


def export_site(artifact: Artifact, out: Path, policy: Policy, step: Step = silent) -> Site:
    """Write the page to a folder that any static host can serve, and that works without a network after one visit.

    Raises:
        OutputError: the folder holds something else, or can't be written.
    And what `make_site` does.
    """
    _refuse_what_is_not_ours(out)
    with directory_lock(out), atomic_directory(out) as partial:
        made = make_site(artifact, partial, policy, offline=True, step=step)
    return Site(out, made.files, made.size_bytes)


def make_site(artifact: Artifact, folder: Path, policy: Policy, *, offline: bool, step: Step = silent) -> Site:
    """Write the page into an empty folder.

    Raises:
        ArtifactError: the artifact's files aren't those of its manifest.
        InconclusiveError: no page runs artifacts for its target.
        MissingDependencyError: LiteRT.js can't be had.
        UsageError: its clips can't be cut as it says.
    """
    manifest = artifact.manifest
    if manifest.target != _TARGET:
        raise InconclusiveError(
            f"No page runs an artifact for {manifest.target}.", hint=f"LiteRT.js runs those for {_TARGET}."
        )
    verify(manifest, artifact.folder)
    prepare(np.zeros((1, manifest.clip.size, manifest.clip.size, 3), np.uint8), manifest.clip)
    library = library_folder(step)
    with step("write the page"):
        data = for_page((artifact.folder / manifest.file).read_bytes(), manifest)
        about = _description(manifest, data, policy, offline=offline)
        files = {path.name: path.read_bytes() for path in library.iterdir()}
        files |= {name: (page_folder() / name).read_bytes() for name in _COMMON}
        files |= {path.name: path.read_bytes() for path in live_folder().iterdir() if path.name not in _TEMPLATES}
        files |= {
            MODEL: data,
            DESCRIPTION: f"{about.model_dump_json()}\n".encode(),
            "manifest.webmanifest": _for_installing(about),
            _README: _readme(about, manifest).encode(),
        }
        sums = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
        files[WORKER] = _service_worker(sums)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    sums[WORKER] = hashlib.sha256(files[WORKER]).hexdigest()
    return Site(folder, sums, sum(map(len, files.values())))


def live_folder() -> Path:
    """Where the page's files are: in the installed package, or beside it in a checkout.

    Raises:
        DeviceError: they are in neither.
    """
    return shipped_folder("web_harness/live", "index.html", "The live page isn't where it belongs")


def _description(manifest: Manifest, data: bytes, policy: Policy, *, offline: bool) -> LivePage:
    ramp = np.broadcast_to(np.arange(_LEVELS, dtype=np.uint8), (1, 3, 1, _LEVELS))
    values = page_values(ramp, manifest).reshape(3, _LEVELS).astype(np.float64)
    red, green, blue = (tuple(row) for row in values.tolist())
    return LivePage(
        model=manifest.model,
        target=manifest.target,
        recipe=manifest.recipe,
        file=MODEL,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        classes=manifest.classes,
        clip=manifest.clip,
        levels=(red, green, blue),
        policy=policy,
        runtime=VERSION,
        offline=offline,
        notes=weights_notes(manifest.weights.kind),
    )


def _for_installing(about: LivePage) -> bytes:
    """The web app manifest, by which a browser installs the page."""
    icon: dict[str, Any] = {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}
    drawn = [{"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in (192, 512)]
    document = {
        "name": f"{about.model} live",
        "short_name": about.model[:12],
        "description": "Says what the camera shows. Nothing leaves the device.",
        "start_url": ".",
        "scope": ".",
        "display": "standalone",
        "background_color": "#111416",
        "theme_color": "#0b6e69",
        "icons": [icon, *drawn, {**drawn[-1], "purpose": "maskable"}],
    }
    return f"{json.dumps(document, indent=2)}\n".encode()


def _service_worker(sums: dict[str, str]) -> bytes:
    kept = {name: sha256 for name, sha256 in sums.items() if name not in _NOT_KEPT}
    listed = json.dumps(kept, indent=2)
    template = (live_folder() / WORKER).read_text(encoding="utf-8")
    version = hashlib.sha256(f"{template}{listed}".encode()).hexdigest()[:16]
    return template.replace("@VERSION@", version).replace("@FILES@", listed).encode()


def _readme(about: LivePage, manifest: Manifest) -> str:
    door = " is the artifact's, with a float32 input in front of its int8 one, and" if takes_int8(manifest) else ""
    weights = " is the artifact's, with float16 weights as the float32 numbers that they stand for, and"
    values = {
        "MODEL": about.model,
        "TARGET": about.target,
        "RECIPE": about.recipe,
        "CLASSES": str(len(about.classes)),
        "SHA256": about.sha256,
        "DOOR": weights if holds_float16(manifest) else door,
        "NOTES": "".join(f"**{note}**\n\n" for note in about.notes),
        "VERSION": __version__,
        "RUNTIME": about.runtime,
    }
    text = (live_folder() / _README).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _refuse_what_is_not_ours(out: Path) -> None:
    """An export takes the place of an earlier one, and of nothing else."""
    if out.is_dir() and any(out.iterdir()) and not (out / DESCRIPTION).is_file():
        raise OutputError(
            f"{out} holds something else than an exported page.",
            hint="Name a new folder, or an empty one.",
        )
