"""Where, with what and of which commit numbers were taken."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from wscore.codec import IMPLEMENTATION, KERNEL

from .measure import CLOCK_NAME
from .rivals import all_rivals
from .tasks.kernels import bench, kernel_names

ROOT = Path(__file__).resolve().parents[1]


def description() -> dict[str, Any]:
    """What a file of results begins with."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "system": f"{platform.system()} {platform.release()}",
            "compiler": platform.python_compiler(),
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
        "versions": _versions(),
        "wscore": {
            "implementation": IMPLEMENTATION,
            "zlib": import_module(f"wscore.codec.{IMPLEMENTATION}.deflate").LIBRARY,
            "kernel": KERNEL,
            "kernels": kernel_names(),
        },
        "commit": _commit(),
        "clock": CLOCK_NAME,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    fields = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    family = ", ".join(f"{name} {fields[name].strip()}" for name in ("cpu family", "model") if name in fields)
    return f"{fields.get('model name', platform.machine()).strip()} ({family})"


def _versions() -> dict[str, str]:
    versions = {rival.name: rival.version for rival in all_rivals()}
    versions["Python"] = f"{platform.python_implementation()} {sys.version.split()[0]}"
    if bench is not None and bench.simdutf_version():
        versions["simdutf"] = bench.simdutf_version()
    return versions


def _commit() -> str:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return f"{commit} and changes" if _git("status", "--porcelain", "wscore") else commit
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout.strip()
