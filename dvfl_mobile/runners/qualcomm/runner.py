"""The runner of artifacts for Qualcomm's NPU, on Qualcomm's own emulator of Hexagon: for logits, never for latency."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, InconclusiveError, needs
from dvfl_mobile.licences import check_accepted
from dvfl_mobile.runners.base import as_input, check_shapes, run_each
from dvfl_mobile.runners.qualcomm.context import context_of
from dvfl_mobile.runners.qualcomm.onnx_model import onnx_model
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.targets import target_named

DEVICE = "htp"
"""The device that the emulator is: see `devices.htp`."""

_PROVIDER = "QNNExecutionProvider"
_ONLY_ERRORS = 3


class QualcommRunner:
    """Runs the context binary of one artifact, the very bytes that a phone's Hexagon is given."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        load_runtime()
        context = context_of(path)
        check_shapes(path, manifest, context.input.shape, context.output.shape)
        self._manifest, self._input = manifest, context.input.name
        try:
            self._session: Any = _session(onnx_model(context))
        except (RuntimeError, KeyError) as error:
            raise ArtifactError(f"Qualcomm's emulator can't load {path}: {error}.", hint="Convert again.") from error
        self.facts: Facts = {
            "runtime": "Qualcomm's emulator",
            "version": metadata.version("onnxruntime-qnn"),
            "device": DEVICE,
            "kind": "emulated",
            "delegate": manifest.delegation.delegate,
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:  # noqa: ARG002 (every runner takes them)
        raise InconclusiveError(
            "What was compiled for Qualcomm's NPU isn't timed here: an emulator runs it, whose times say nothing of a "
            "phone's.",
            hint="Time another target here, or this one on a phone with that chip.",
        )

    def _run_one(self, clip: Pixels) -> Logits:
        return self._session.run(None, {self._input: as_input(clip, self._manifest)})[0]


def load_runtime() -> None:
    """Import ONNX Runtime, and have it load Qualcomm's plugin.

    Raises:
        MissingDependencyError: one of them isn't installed, or its licence isn't accepted.
    """
    check_accepted(target_named("qualcomm").licence)
    with needs("onnxruntime-qnn", extra="qualcomm", why="to run what was compiled for Qualcomm's NPU"):
        import onnxruntime
        import onnxruntime_qnn
    if not any(device.ep_name == _PROVIDER for device in onnxruntime.get_ep_devices()):
        onnxruntime.register_execution_provider_library(_PROVIDER, onnxruntime_qnn.get_library_path())


def open_artifact(path: Path, manifest: Manifest) -> QualcommRunner:
    """A runner of the file at `path`."""
    return QualcommRunner(path, manifest)


def _session(model: bytes) -> Any:
    import onnxruntime
    import onnxruntime_qnn

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    # Without it what the plugin doesn't take would run on the CPU, and be taken for Hexagon's.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == _PROVIDER]
    options.add_provider_for_devices(devices, {"backend_path": onnxruntime_qnn.get_qnn_htp_path()})
    return onnxruntime.InferenceSession(model, sess_options=options)
