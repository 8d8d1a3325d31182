"""On what was measured."""

import os
import platform
from datetime import UTC, datetime

import psutil

from worker.clock import Clock


def machine(clock: Clock) -> str:
    """Date, cores, memory and Python in one line."""
    memory = psutil.virtual_memory().total / 2**30
    today = datetime.fromtimestamp(clock.time(), UTC)
    return f"{today:%Y-%m-%d}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
