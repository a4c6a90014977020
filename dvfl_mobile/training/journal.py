"""The training log: a line of JSON for each step and epoch, and TensorBoard's files on request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dvfl_mobile.errors import needs
from dvfl_mobile.files import atomic_file, writing_to
from dvfl_mobile.spelling import option


class Journal:
    """Appends to a file of JSON lines; the lines of steps that a kill undid are taken out before it goes on."""

    def __init__(self, path: Path, board: Path | None = None) -> None:
        self._path = path
        self._board_folder = board
        self._board: Any = None

    def begin(self, done: int) -> None:
        """Go on after `done` steps; 0 begins anew.

        Raises:
            MissingDependencyError: TensorBoard was asked for and isn't installed.
            OutputError: the place can't be written.
        """
        kept = [line for line in read_journal(self._path) if done and line.get("step", 0) <= done]
        with atomic_file(self._path) as partial:
            partial.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        if self._board_folder is not None:
            self._board = _open_board(self._board_folder, done)

    def note(self, event: str, step: int, **figures: float | int | None) -> None:
        """Add one line: what happened after which step."""
        with writing_to(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "step": step, **figures}) + "\n")
        if self._board is not None:
            for name, value in figures.items():
                if value is not None:
                    self._board.add_scalar(f"{event}/{name}", value, step)

    def end(self) -> None:
        if self._board is not None:
            self._board.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal; none where there is none. A last line that a kill cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _open_board(folder: Path, done: int) -> Any:
    with needs("tensorboard", extra="training", why=f"{option('board')} writes its files"):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=done + 1)
