"""Mixed precision: float32, bfloat16 where the processor has it, or float16 on a CUDA device."""

from __future__ import annotations

from typing import Any, Literal, overload

import torch

Precision = Literal["float32", "bfloat16", "float16"]

# As torch names them: x86 has AVX-512 BF16 or AMX, Arm has BF16 by NEON or SVE.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@overload
def chosen_precision(
    asked: Literal["auto", "float32", "bfloat16"], device: torch.device
) -> Literal["float32", "bfloat16"]: ...
@overload
def chosen_precision(asked: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> Precision: ...
def chosen_precision(asked: Literal["auto", "float32", "bfloat16", "float16"], device: torch.device) -> Precision:
    """What was asked for; for `auto`, bfloat16 where `device` has instructions for it."""
    if asked != "auto":
        return asked
    return "bfloat16" if _has_bfloat16(device) else "float32"


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The block in which products are computed in `precision`."""
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "float32")


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch before 2.13 can't say, and is not taken to have it: where it is emulated, it is slower than float32.
    tell: Any = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = tell()
    return any(capabilities.get(name, False) for name in _INSTRUCTIONS)
