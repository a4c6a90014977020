"""A phone's facts, as one start of the harness's app reports them."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from dvfl_mobile.devices.values import DeviceState
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.wording import first_problem

MOST_BYTES = 16 * 2**20
_MOST_OPERATIONS = 100_000

Text = Annotated[str, Field(max_length=4096)]
Unit = Literal["cpu", "gpu", "neuralEngine", "unknown"]


class State(Document):
    """What changes; None where iOS doesn't tell."""

    thermal_state: Literal["nominal", "fair", "serious", "critical", "unknown"] | None = None
    is_low_power: bool | None = None
    battery_percent: Annotated[int, Field(ge=0, le=100)] | None = None
    is_charging: bool | None = None

    def as_device_state(self) -> DeviceState:
        """The same, as every device has it."""
        return DeviceState(
            battery_percent=self.battery_percent,
            is_charging=self.is_charging,
            thermal_status=self.thermal_state,
            is_low_power=self.is_low_power,
        )


class PlannedOperation(Document):
    """Where Core ML means to run an operation: its own estimate, made before anything runs.

    Attributes:
        kind: such as `ios16.linear`.
        output: the name of its first output in the package.
        preferred: None where Core ML doesn't tell, as for constants.
        cost: its share of the whole model's, 0 to 1.
    """

    kind: Text
    output: Text
    preferred: Unit | None = None
    supported: tuple[Unit, ...] = ()
    cost: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class About(Document):
    """The whole of the file."""

    system: Text
    memory_bytes: Annotated[int, Field(ge=0)]
    cores: Annotated[int, Field(ge=1, le=4096)]
    before: State
    after: State
    compile_ns: Annotated[int, Field(ge=0)] | None = None
    plan: Annotated[tuple[PlannedOperation, ...], Field(max_length=_MOST_OPERATIONS)] | None = None


def read_about(data: bytes, device: str) -> About:
    """Read the file.

    Raises:
        DeviceError: it can't be understood.
    """
    try:
        return About.model_validate_json(data)
    except ValidationError as error:
        raise DeviceError(
            f"What the app on {device} says of it can't be understood: {first_problem(error)}.",
            hint="The app and this dvfl-mobile are of different versions: build and install the app again.",
        ) from error


def placement(plan: tuple[PlannedOperation, ...]) -> str:
    """How many operations Core ML means to run where, such as `neuralEngine 212, cpu 3`."""
    counted = Counter(operation.preferred for operation in plan if operation.preferred is not None)
    return ", ".join(f"{unit} {count}" for unit, count in counted.most_common()) or "unknown"
