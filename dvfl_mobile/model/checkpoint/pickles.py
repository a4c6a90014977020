"""Check a pickle without executing it: every name and size, before torch reads the file.

A pickle is a program for a small stack machine. `torch.load(weights_only=True)` runs it with few words allowed. This
reader walks the same program first and calls nothing. It accepts what weights, an optimizer's state and an official
configuration need, and is there for two things that torch doesn't do: to refuse by name, all names at once, and to
keep memory bounded, for torch allocates whatever size a tensor claims.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from dvfl_mobile.model.wording import brief

CONFIG_NODE = "yacs.config.CfgNode"
MAX_PICKLE_BYTES = 16 * 2**20

_MAX_STEPS = 1_000_000
_MAX_DIMENSIONS = 16

_DICT = "collections.OrderedDict"
_SET = "builtins.set"
_TENSOR = "torch._utils._rebuild_tensor_v2"

_STORAGE_ITEM_BYTES = {
    "torch.FloatStorage": 4,
    "torch.DoubleStorage": 8,
    "torch.HalfStorage": 2,
    "torch.BFloat16Storage": 2,
    "torch.LongStorage": 8,
    "torch.IntStorage": 4,
    "torch.ShortStorage": 2,
    "torch.CharStorage": 1,
    "torch.ByteStorage": 1,
    "torch.BoolStorage": 1,
}
_DTYPES = frozenset(
    f"torch.{name}"
    for name in ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")
)
# What Python 2 called them: protocol 2, which torch.save writes, still does.
_RENAMED_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "commands": "subprocess"}

# What torch takes with weights_only. The others are walked too, for the names that they lead to.
# fmt: off
_TAKEN = frozenset((
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID", "APPEND", "APPENDS", "SETITEM",
    "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "EMPTY_LIST",
    "EMPTY_DICT", "EMPTY_SET", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "BININT", "BININT1", "BININT2",
    "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING",
))
# fmt: on


class PickleProblemError(Exception):
    """A pickle that is damaged, or that does or claims something that a checkpoint has no need of."""


class RefusedGlobalsError(PickleProblemError):
    """A pickle that names functions or classes that a checkpoint has no need of.

    Args:
        names: each of them once, in the order they were met, such as `posix.system`.
    """

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True)
class Storage:
    """A claim to `numel` numbers of `item_bytes` each, kept elsewhere in the file under `key`."""

    key: str
    numel: int
    item_bytes: int

    @property
    def size_bytes(self) -> int:
        return self.numel * self.item_bytes


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


@dataclass(frozen=True, slots=True)
class _Global:
    name: str


@dataclass(slots=True)
class _Result:
    """What a call would return; `name` is what would be called, `dict` for a plain dictionary."""

    name: str
    entries: list[Any] = field(default_factory=list)


_MARK = object()
_PLAIN = (str, int, float, type(None))


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
        return [] if opcode == "EMPTY_LIST" else _Result("dict" if opcode == "EMPTY_DICT" else _SET)

    def _collect(self, opcode: str) -> None:
        items = self._pop_to_mark()
        if opcode == "DICT":
            self._stack.append(_Result("dict"))
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
            if not isinstance(key, _PLAIN):
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
        if full not in _KNOWN and full not in self.refused:
            self.refused.append(full)
        self._stack.append(_Global(full))
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
        name = target.name if isinstance(target, _Global) else type(target).__name__
        if not self.refused and not _is_usual_call(name, arguments):
            raise PickleProblemError(f"its pickle calls {brief(name)} as torch.save would not")
        self._stack.append(_Result(name))

    def _build(self) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if self.refused:
            return
        if not (isinstance(target, _Result) and target.name in (_DICT, CONFIG_NODE) and isinstance(state, _Result)):
            raise PickleProblemError("its pickle sets the attributes of something that is no dictionary")
        odd = [key for key in state.entries[::2] if not (isinstance(key, str) and key.startswith("_"))]
        if odd:
            # A dict's methods have no leading underscore: data must not come to stand in place of one.
            raise PickleProblemError(f"its pickle sets the attribute {brief(odd[0])} of a dictionary")

    def _is_dict(self, target: Any) -> bool:
        return isinstance(target, _Result) and (target.name in ("dict", _DICT, CONFIG_NODE) or bool(self.refused))

    def _refer(self) -> None:
        match self._stack.pop():
            # Before torch 1.6 a sixth item stood for a view of other numbers; torch.save leaves it None.
            case ("storage", _Global(name=kind), str(key), str(), numel, *view) if (
                kind in _STORAGE_ITEM_BYTES and _is_count(numel) and view in ([], [None])
            ):
                storage = Storage(key, numel, _STORAGE_ITEM_BYTES[kind])
            case _:
                raise PickleProblemError("its pickle refers to numbers kept elsewhere in a way torch.save would not")
        if self._storages.setdefault(key, storage) != storage:
            raise PickleProblemError(f"its pickle claims the numbers under {brief(key)} in two sizes or types")
        self._stack.append(storage)


def _is_usual_call(name: str, arguments: Any) -> bool:
    try:
        return name in _CALLS and _CALLS[name](*arguments)
    except TypeError:
        return False


def _is_dict_call(*arguments: Any) -> bool:
    return not arguments


def _is_set_call(items: Any = ()) -> bool:
    return isinstance(items, list | tuple) and all(isinstance(item, _PLAIN) for item in items)


def _is_size_call(sizes: Any) -> bool:
    return isinstance(sizes, tuple) and len(sizes) <= _MAX_DIMENSIONS and all(map(_is_count, sizes))


def _is_device_call(kind: Any, index: Any = 0) -> bool:
    return isinstance(kind, str) and _is_count(index)


def _is_parameter_call(tensor: Any, requires_grad: Any, hooks: Any) -> bool:
    return _is_result(tensor, _TENSOR) and isinstance(requires_grad, bool) and _is_result(hooks, _DICT)


def _is_tensor_call(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None
) -> bool:
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        return False
    if not (len(size) == len(stride) <= _MAX_DIMENSIONS and all(map(_is_count, (offset, *size, *stride)))):
        return False
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.numel:
        raise PickleProblemError(
            f"a tensor in it, {'x'.join(map(str, size)) or '1'}, claims more than the {storage.numel:,} numbers "
            f"that are kept for it under {brief(storage.key)}"
        )
    return isinstance(requires_grad, bool) and _is_result(hooks, _DICT) and metadata is None


def _is_result(value: Any, name: str) -> bool:
    return isinstance(value, _Result) and value.name == name


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


_CALLS: Mapping[str, Callable[..., bool]] = {
    _DICT: _is_dict_call,
    CONFIG_NODE: _is_dict_call,
    _SET: _is_set_call,
    "torch.Size": _is_size_call,
    "torch.device": _is_device_call,
    _TENSOR: _is_tensor_call,
    "torch._utils._rebuild_parameter": _is_parameter_call,
}
_KNOWN = _CALLS.keys() | _STORAGE_ITEM_BYTES.keys() | _DTYPES
