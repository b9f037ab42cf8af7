"""The precision of a training."""

from typing import Literal, cast

import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


def resolve_precision(precision: str, accelerator: str) -> Precision:
    """`auto` becomes bf16-mixed where the processor computes in it natively, else 32-true."""
    if precision != "auto":
        return cast(Precision, precision)
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    native = computes_in_bfloat16(torch.device("cuda" if on_gpu else "cpu"))
    return "bf16-mixed" if native else "32-true"


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 without emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported())
