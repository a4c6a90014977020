"""Check a pickle without executing it: every name and size, before torch reads the file.

A pickle is a program for a small stack machine. `torch.load(weights_only=True)` runs it with few words allowed. This
reader walks the same program first and calls nothing. It accepts the names of torch's own list, called as torch.save
calls them, numpy's data and an official configuration, and is there for two things that torch doesn't do: to refuse by
name, all names at once, and to keep memory bounded, for torch allocates whatever size a tensor claims.
"""

from __future__ import annotations

import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from dvfl_mobile.model.checkpoint.known_names import known, storage_item_bytes
from dvfl_mobile.model.checkpoint.pickled import PLAIN, Global, PickleProblemError, RefusedGlobalsError, Result, Storage
from dvfl_mobile.model.checkpoint.usual_calls import DICTS, ORDERED, SET, is_usual_call, is_usual_state
from dvfl_mobile.model.wording import brief

MAX_PICKLE_BYTES = 16 * 2**20

_MAX_STEPS = 1_000_000

# What Python 2 called them: protocol 2, which torch.save writes, still does.
_RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "commands": "subprocess"}

# Python's own functions are refused by name if they are called otherwise than torch.save does.
_PYTHON = ("builtins.", "_codecs.")

# What torch takes with weights_only. The others are walked too, for the names that they lead to.
# fmt: off
_TAKEN = frozenset((
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID", "APPEND", "APPENDS", "SETITEM",
    "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST",
    "EMPTY_DICT", "EMPTY_SET", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "BININT", "BININT1", "BININT2",
    "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING",
))
# fmt: on


@dataclass(frozen=True)
class PickleContents:
    """What one pickle holds.

    Attributes:
        value: plain data as it is; dicts and whatever a call would return as objects that do nothing.
        storages: every storage that it refers to, by key.
        end: bytes that it takes.
    """

    value: Any
    storages: Mapping[str, Storage]
    end: int


def read_pickle(data: bytes) -> PickleContents:
    """Walk the first pickle in `data` and check it: nothing is called, imported, or allocated on its word.

    Raises:
        RefusedGlobalsError: it names something that a checkpoint has no need of.
        PickleProblemError: it is no pickle, is cut short, or does something else that a checkpoint has no need of.
    """
    reader = _Reader(data)
    try:
        contents = reader.read()
    except (PickleProblemError, LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        # Text of any kind can begin like a pickle of the oldest protocols, up to where it makes no sense.
        if reader.refused and data.startswith(b"\x80"):
            raise RefusedGlobalsError(reader.refused) from error
        if isinstance(error, PickleProblemError):
            raise
        problem = "is cut short" if reader.is_exhausted(data) else "makes no sense"
        raise PickleProblemError(f"its pickle {problem} after byte {reader.position:,}") from error
    if reader.refused:
        raise RefusedGlobalsError(reader.refused)
    if reader.foreign:
        raise PickleProblemError(
            f"its pickle uses the instruction {reader.foreign}, which torch.save doesn't write unless asked to "
            "(pickle_protocol), and torch.load doesn't take with weights_only"
        )
    return contents


_MARK = object()


class _Reader:
    """The stack machine. Each method is one kind of instruction."""

    def __init__(self, data: bytes) -> None:
        self.refused: list[str] = []
        self.foreign = ""
        self.position = 0
        self._file = BytesIO(data)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._storages: dict[str, Storage] = {}

    def is_exhausted(self, data: bytes) -> bool:
        return self._file.tell() >= len(data)

    def read(self) -> PickleContents:
        for step, (opcode, argument, position) in enumerate(pickletools.genops(self._file)):
            self.position = position or 0
            if step == _MAX_STEPS:
                raise PickleProblemError(f"its pickle has more than {_MAX_STEPS:,} instructions")
            if opcode.name == "STOP":
                return PickleContents(self._stack.pop(), self._storages, self._file.tell())
            if opcode.name not in _TAKEN:
                self.foreign = self.foreign or opcode.name
            self._do(opcode, argument)
        raise PickleProblemError("its pickle has no end")

    def _do(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._stack.append(_MARK)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self._stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT" | "EMPTY_SET":
                self._stack.append(self._empty(opcode.name))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                self._stack.append(self._memo[argument])
            case "TUPLE" | "LIST" | "FROZENSET" | "DICT":
                self._collect(opcode.name)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._stack.append(tuple(self._pop(int(opcode.name[-1]))))
            case "POP":
                self._stack.pop()
            case "POP_MARK":
                self._pop_to_mark()
            case "DUP":
                self._stack.append(self._stack[-1])
            case "APPEND" | "APPENDS" | "ADDITEMS" | "SETITEM" | "SETITEMS":
                self._fill(opcode.name)
            case "GLOBAL" | "STACK_GLOBAL" | "INST" | "EXT1" | "EXT2" | "EXT4":
                self._name(opcode.name, argument)
            case "REDUCE" | "NEWOBJ" | "NEWOBJ_EX" | "OBJ":
                self._call(opcode.name)
            case "BUILD":
                self._build()
            case "BINPERSID":
                self._refer()
            case _ if opcode.arg is not None and not opcode.stack_before and len(opcode.stack_after) == 1:
                self._stack.append(argument)
            case name:
                raise PickleProblemError(f"its pickle uses the instruction {name}, which a checkpoint has no need of")

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise PickleProblemError(f"its pickle makes no sense after byte {self.position:,}")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    @staticmethod
    def _empty(opcode: str) -> Any:
        if opcode == "EMPTY_TUPLE":
            return ()
        return [] if opcode == "EMPTY_LIST" else Result("dict" if opcode == "EMPTY_DICT" else SET)

    def _collect(self, opcode: str) -> None:
        items = self._pop_to_mark()
        if opcode == "DICT":
            self._stack.append(Result("dict"))
            self._set_items(items)
        else:
            self._stack.append(tuple(items) if opcode == "TUPLE" else items)

    def _fill(self, opcode: str) -> None:
        count = {"APPEND": 1, "SETITEM": 2}.get(opcode)
        items = self._pop(count) if count else self._pop_to_mark()
        if opcode.startswith("SETITEM"):
            self._set_items(items)
        elif opcode == "ADDITEMS":
            self._stack[-1].entries.extend(items)
        else:
            self._stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not self._is_dict(target):
            raise PickleProblemError("its pickle sets items of something that is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Other keys could be built to take torch forever to hash.
            if not isinstance(key, PLAIN):
                raise PickleProblemError("a dictionary in its pickle has a key that is neither text nor number")
            target.entries += (key, value)

    def _name(self, opcode: str, argument: Any) -> None:
        arguments = self._pop_to_mark() if opcode == "INST" else None
        if opcode == "STACK_GLOBAL":
            module, name = self._pop(2)
        elif opcode.startswith("EXT"):
            module, name = "copyreg extension", str(argument)
        else:
            module, _, name = argument.partition(" ")
        if isinstance(module, str) and isinstance(name, str):
            full = f"{_RENAMED_MODULES.get(module, module)}.{name}"
        else:
            full = "(a name that is no text)"
        if full not in known() and full not in self.refused:
            self.refused.append(full)
        self._stack.append(Global(full))
        if arguments is not None:
            self._stack.append(tuple(arguments))
            self._call("INST")

    def _call(self, opcode: str) -> None:
        if opcode == "OBJ":
            target, *rest = self._pop_to_mark()
            arguments: Any = tuple(rest)
        elif opcode == "NEWOBJ_EX":
            target, arguments, _ = self._pop(3)
        else:
            target, arguments = self._pop(2)
        name = target.name if isinstance(target, Global) else type(target).__name__
        if not self.refused and not is_usual_call(name, arguments):
            if not name.startswith(_PYTHON):
                raise PickleProblemError(f"its pickle calls {brief(name)} as torch.save would not")
            self.refused.append(f"{name} (called as torch.save would not)")
        self._stack.append(_made(name, arguments))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if self.refused:
            return
        if not is_usual_state(target, state):
            raise PickleProblemError("its pickle sets the attributes of something that is no dictionary")
        if target.name not in DICTS:
            return
        odd = [key for key in state.entries[::2] if not (isinstance(key, str) and key.startswith("_"))]
        if odd:
            # A dict's methods have no leading underscore: data must not come to stand in place of one.
            raise PickleProblemError(f"its pickle sets the attribute {brief(odd[0])} of a dictionary")

    def _is_dict(self, target: Any) -> bool:
        return isinstance(target, Result) and (target.name in DICTS or bool(self.refused))

    def _refer(self) -> None:
        match self._stack.pop():
            # Before torch 1.6 a sixth item stood for a view of other numbers; torch.save leaves it None.
            case ("storage", Global(name=kind), str(key), str(), numel, *view) if (
                kind in storage_item_bytes() and _is_count(numel) and view in ([], [None])
            ):
                storage = Storage(key, numel, storage_item_bytes()[kind])
            case _:
                raise PickleProblemError("its pickle refers to numbers kept elsewhere in a way torch.save would not")
        if self._storages.setdefault(key, storage) != storage:
            raise PickleProblemError(f"its pickle claims the numbers under {brief(key)} in two sizes or types")
        self._stack.append(storage)


def _made(name: str, arguments: Any) -> Result:
    """What a call would return."""
    given = arguments if isinstance(arguments, tuple) else ()
    if name == ORDERED and given and isinstance(given[0], list):
        return Result(name, [part for pair in given[0] for part in pair])
    return Result(name, arguments=given)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62
