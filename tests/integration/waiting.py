"""Waiting for conditions, never for a time."""

import os
import time
from typing import Callable, TypeVar

SANITIZER = os.environ.get("FETCHD_SANITIZER", "")

# How much longer things may take in an instrumented server.
SLOWNESS = 4 if SANITIZER else 1

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = 10) -> T:
    """Returns the first true value of `condition`, asked again and again; fails after `seconds` (more if sanitized)."""
    deadline = time.monotonic() + seconds * SLOWNESS
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * SLOWNESS:g} s in vain until {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
