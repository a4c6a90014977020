"""Delegation of an artifact's operators: which a delegate runs and which fall back, with shares of multiply-adds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import Field

from dvfl_mobile.documents import Document

_MOST = 2**63 - 1


class Operation(NamedTuple):
    """One operator of an artifact, as its converter found it.

    `delegated` is None where only the device decides; `is_int8` where the artifact isn't a quantized one.
    """

    operator: str
    module: str
    delegated: bool | None
    multiply_adds: int = 0
    is_int8: bool | None = None


class OperatorRow(Document):
    """Operators of one kind in one module that share a fate.

    Attributes:
        is_int8: whether they read and give int8; None in an artifact without quantized activations.
    """

    operator: str
    module: str
    delegated: bool | None
    count: int = Field(ge=0, le=_MOST)
    multiply_adds: int = Field(ge=0, le=_MOST)
    is_int8: bool | None = None


class Delegation(Document):
    """Where the operators of an artifact run.

    Attributes:
        delegate: who runs what is delegated, such as `XNNPACK`.
        calls: pieces the graph falls into on the delegate; None where only the device decides.
        rows: every operator of the artifact, grouped.
        undecided: what only the device decides: all of it where `calls` is None, else what the delegate does with
            what it is given; empty where nothing is left open.
    """

    delegate: str
    calls: int | None
    rows: tuple[OperatorRow, ...]
    undecided: str = ""

    @classmethod
    def of(cls, delegate: str, calls: int | None, operations: Iterable[Operation], undecided: str = "") -> Delegation:
        """Group operations that are alike, in the order in which they first come."""
        found = list(operations)
        counts = Counter((o.operator, o.module, o.delegated, o.is_int8) for o in found)
        work: Counter[tuple[str, str, bool | None, bool | None]] = Counter()
        for o in found:
            work[o.operator, o.module, o.delegated, o.is_int8] += o.multiply_adds
        rows = tuple(
            OperatorRow(
                operator=key[0], module=key[1], delegated=key[2], count=count, multiply_adds=work[key], is_int8=key[3]
            )
            for key, count in counts.items()
        )
        return cls(delegate=delegate, calls=calls, rows=rows, undecided=undecided)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of products and convolutions, for one clip."""
        return sum(row.multiply_adds for row in self.rows)

    @property
    def share(self) -> float | None:
        """Share of the multiply-adds that is delegated, 0 to 1; None where only the device decides."""
        if self.calls is None:
            return None
        total = self.multiply_adds
        return sum(row.multiply_adds for row in self.rows if row.delegated) / total if total else 1.0

    @property
    def outside(self) -> int | None:
        """How many operators are known to run outside of the delegate; None where only the device decides."""
        return None if self.calls is None else sum(row.count for row in self.fallbacks)

    @property
    def int8_share(self) -> float | None:
        """Share of the multiply-adds whose operands are int8, 0 to 1; None without quantized activations."""
        if all(row.is_int8 is None for row in self.rows):
            return None
        return sum(row.multiply_adds for row in self.rows if row.is_int8) / (self.multiply_adds or 1)

    @property
    def fallbacks(self) -> tuple[OperatorRow, ...]:
        """What is known to run outside the delegate, most multiply-adds first."""
        rows = (row for row in self.rows if row.delegated is False)
        return tuple(sorted(rows, key=lambda row: (-row.multiply_adds, -row.count)))


def module_path(node: Any) -> str:
    """The innermost module that a node of an exported graph comes from: `stage0.block0.mlp.fc1`; empty for none."""
    stack = node.meta.get("nn_module_stack")
    return str(list(stack.values())[-1][0]) if stack else ""


def module_of_tensor(name: str) -> str:
    """The module path in the name that litert-torch gives a tensor; empty for another's.

    It writes `package.DeployForm/package.Stem_stem/torch.nn.Conv2d_proj;3`: a step for each module, its class and then
    its name. Fused operators join several with `;`; the first stands for all.
    """
    steps = name.split(";")[0].split("/")[1:]
    return ".".join(step.rsplit(".", 1)[-1].partition("_")[2] for step in steps)


_PRODUCTS = ("fully_connected", "conv_2d", "depthwise_conv_2d")
"""TFLite's operators with a filter, as their second operand."""


def module_of_operator(operator: str, output: str, second: str) -> str:
    """The module path of a TFLite operator, from the names of what it gives and of its second operand; empty for none.

    The model's own output is named by its signature, and that of a product by the module around its own where its
    result is reshaped there: a filter still tells where it comes from.
    """
    given, own = module_of_tensor(output), module_of_tensor(second)
    return own if not given or (operator in _PRODUCTS and own.startswith(f"{given}.")) else given
