"""The file of a checkpoint, opened once: what was checked is what is read, whatever takes its path meanwhile."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from dvfl_mobile.errors import CheckpointError


class CheckpointFile:
    """A file that is opened at its first use and closed at the end of the `with` block.

    Attributes:
        path: as it was named; messages say it.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        """`data`: the content, where it is part of another file and `path` stands for that one."""
        self.path = path
        self._file: BinaryIO | None = None if data is None else io.BytesIO(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def content(self) -> BinaryIO:
        """The open file, at its beginning.

        Raises:
            CheckpointError: it can't be opened, or is empty.
        """
        if self._file is None:
            self._file = _open(self.path)
        self._file.seek(0)
        return self._file

    @property
    def size_bytes(self) -> int:
        """How large the open file is."""
        return self.content.seek(0, io.SEEK_END)

    def sha256(self) -> str:
        """The SHA-256 of the whole content, in hex."""
        return hashlib.file_digest(self.content, "sha256").hexdigest()  # type: ignore[arg-type]


def _open(path: Path) -> BinaryIO:
    try:
        file = path.open("rb")
        is_empty = not file.read(1)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no checkpoint {path}.", hint="Check the path.") from error
    except IsADirectoryError as error:
        raise CheckpointError(
            f"{path} is a folder, not a checkpoint.", hint="Name the .pth or .safetensors file in it."
        ) from error
    except OSError as error:
        raise CheckpointError(f"Can't read {path}: {error.strerror}.", hint="Check the file's permissions.") from error
    if is_empty:
        file.close()
        raise CheckpointError(f"{path} is empty.", hint="Download or copy it again.")
    return file


@contextmanager
def opened(path: Path | None) -> Iterator[CheckpointFile | None]:
    """The file for the length of the block; None where no checkpoint is named."""
    if path is None:
        yield None
        return
    with CheckpointFile(path) as file:
        yield file
