"""The choice of a device."""

from __future__ import annotations

import os
from typing import Any


def choice(
    device: str,
    threads: int | None,
    precision: str | None = None,
    kernel_family: str | None = None,
) -> dict[str, Any]:
    """A device as the library reads it."""
    return {
        "device": device,
        "threads": default_threads() if threads is None else threads,
        "precision": precision,
        "kernel_family": kernel_family,
        "nvrtc": os.environ.get("DGC_NVRTC"),
    }


def default_threads() -> int:
    """The number of threads that ``OMP_NUM_THREADS`` allows; 0 for all cores of the process.

    joblib sets the variable in its workers, so that ``n_jobs`` workers share the cores.
    """
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(text) if text.isdigit() else 0
