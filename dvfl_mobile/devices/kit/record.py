"""What is kept here of a kit that was made, so that its results can be judged: by these hashes, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, ValidationError

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import ArtifactError, OutputError
from dvfl_mobile.files import cache_folder, write_text

SUMS_NAME, STARTS_NAME = "SHA256SUMS", "starts.txt"
_ID = re.compile("[0-9a-f]{64}")


class KitArtifact(Document):
    """An artifact of a kit: its folder here, and the SHA-256 of its one file."""

    folder: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class KitRecord(Document):
    """A kit that was made.

    Attributes:
        sums: its list of hashes, by which its results are known; every file that runs on the phone is in it.
        starts: of each start of a program its number, the program, and the hashes of model and input, one a line.
        bundles: `bundle.json` of the programs, by target.
        clips: what parity's clips were taken from; None: they were drawn.
        most: how many of them.
        runs, warmup, threads: of the profile.
    """

    schema_version: int = 1
    version: str
    sums: str
    starts: str
    bundles: dict[str, str]
    artifacts: tuple[KitArtifact, ...]
    clips: str | None
    most: int
    runs: int
    warmup: int
    threads: int | None

    @property
    def clips_path(self) -> Path | None:
        """Where parity's clips are; None: they were drawn."""
        return None if self.clips is None else Path(self.clips)


def keep(record: KitRecord, kit_id: str) -> None:
    """Keep a record in this user's cache folder.

    Raises:
        OutputError: it can't be written.
    """
    write_text(_path(kit_id), record.model_dump_json(indent=1) + "\n")


def recorded(kit_id: str, name: str) -> KitRecord:
    """The record of a kit; `name` is that of its results, for errors.

    Raises:
        ArtifactError: there is none, or it can't be understood.
    """
    unknown = f"{name} comes from no kit that was made by this user on this machine."
    hint = "Judge results where their kit was made; DVFL_MOBILE_CACHE has to be the same."
    if not _ID.fullmatch(kit_id):
        raise ArtifactError(unknown, hint=hint)
    try:
        return KitRecord.model_validate_json(_path(kit_id).read_bytes())
    except (FileNotFoundError, OutputError) as error:
        raise ArtifactError(unknown, hint=hint) from error
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"The record of the kit, {_path(kit_id)}, can't be read.", hint="Make it again.") from error


def _path(kit_id: str) -> Path:
    return cache_folder() / "kits" / f"{kit_id}.json"
