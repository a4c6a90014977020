"""Student: a network with its architecture, classes, ClipSpec and source, and how it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.documents import Document
from dvfl_mobile.errors import needs
from dvfl_mobile.files import atomic_file
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.targets import Normalizer, Target, TemporalConvolution, TokenScaling

if TYPE_CHECKING:
    from dvfl_mobile.model.deploy import DeployForm
    from dvfl_mobile.model.network import VideoFocalNet

METADATA_KEY = "dvfl_mobile"


@dataclass(frozen=True)
class Student:
    """The reference form of one network, ready to use.

    Attributes:
        network: in eval mode, float32, wanting no gradients.
        architecture: what the network was built from.
        classes: a name for each logit, in order.
        clip: the clip that the network eats.
        source: where the weights came from.
        notes: sentences for whoever uses it, on what had to be assumed or was changed while loading.
    """

    network: VideoFocalNet
    architecture: Architecture
    classes: tuple[str, ...]
    clip: ClipSpec
    source: WeightSource
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.classes) != self.architecture.num_classes:
            raise ValueError(f"{len(self.classes)} class names for {self.architecture.num_classes} logits")
        if (self.clip.frames, self.clip.size) != (self.architecture.num_frames, self.architecture.img_size):
            raise ValueError(f"clip {self.clip.shape} does not fit {self.architecture}")

    @property
    def raw_clip(self) -> ClipSpec:
        """The clip with raw pixels in it, as artifacts take it."""
        return self.clip.model_copy(update={"pixels": "raw"})

    # What `quantization.lowerable.Lowerable` asks for.

    @property
    def student(self) -> Student:
        """Itself."""
        return self

    @property
    def quantization(self) -> None:
        """None: it is float."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """None: nothing was quantized."""
        return ()

    def form(self, normalizer: Normalizer, temporal: TemporalConvolution = "direct") -> DeployForm:
        """The deploy form in a target's layout, its temporal convolutions computed in one way or the other."""
        from dvfl_mobile.model.deploy import DeployForm

        return DeployForm(self.network, self.raw_clip, normalizer, temporal)

    def form_for(self, target: Target, recipe: str) -> DeployForm:
        """The deploy form in the target's layout, every convolution direct."""
        return self.form(target.normalizer_of(recipe))

    def by_token(self, _scaling: TokenScaling) -> tuple[str, ...]:
        """None: it has no int8 products."""
        return ()

    def to_lower(self, target: Target, recipe: str, temporal: TemporalConvolution = "direct") -> DeployForm:
        """The deploy form in the target's layout, as one of its recipes wants it."""
        return self.form(target.normalizer_of(recipe), temporal)


class StudentMetadata(Document):
    """What a stored student says of itself, as JSON in the safetensors header under `METADATA_KEY`."""

    schema_version: Literal[1] = 1
    architecture: Architecture
    classes: tuple[str, ...]
    clip: ClipSpec
    source: WeightSource
    notes: tuple[str, ...] = ()
    weights_sha256: str


def save_student(student: Student, path: Path) -> None:
    """Write `student` to `path` as safetensors, atomically; `load_checkpoint` reads it back equal, to the bit.

    Raises:
        OutputError: the place can't be written, or the disk is full.
        MissingDependencyError: safetensors isn't installed.
    """
    with needs("safetensors", extra="all", why="students are stored as safetensors"):
        from safetensors.torch import save
    from dvfl_mobile.model.build import sha256_of_weights

    weights = {key: value.contiguous() for key, value in student.network.state_dict().items()}
    metadata = StudentMetadata(
        architecture=student.architecture,
        classes=student.classes,
        clip=student.clip,
        source=student.source,
        notes=student.notes,
        weights_sha256=sha256_of_weights(weights),
    )
    with atomic_file(path) as partial:
        partial.write_bytes(save(weights, metadata={METADATA_KEY: metadata.model_dump_json()}))
