"""Where a model computes, and in what precision."""

import torch

from rewright.service.models.errors import ModelError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def chosen_device(wanted: str, *, setting: str) -> torch.device:
    """wanted: auto (cuda where there is one), cpu, cuda or cuda:N. setting: its block, for the `ModelError`."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise ModelError(f"{setting}.device: {wanted!r} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"{setting}.device: {wanted!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"{setting}.device: {wanted!r} asked for, but torch sees {torch.cuda.device_count()} CUDA devices; "
            "use auto or cpu, or install a CUDA build of torch"
        )
    return device


def chosen_dtype(precision: str, device: torch.device) -> torch.dtype:
    """precision: float32, bfloat16, float16, or auto: bfloat16 where the device computes it fast, else float32."""
    if precision == "auto":
        return torch.bfloat16 if bfloat16_is_fast(device) else torch.float32
    return _DTYPES[precision]


def bfloat16_is_fast(device: torch.device) -> bool:
    """True where the device has bfloat16 arithmetic of its own, rather than an emulation slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
