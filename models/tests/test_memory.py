"""Memory stays flat over many documents, and a single document of any kind needs little beyond itself."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.native import why_unavailable

SCRIPT = Path(__file__).with_name("memory.py")
MEBIBYTE = 1 << 20

pytestmark = [
    pytest.mark.skipif(why_unavailable() is not None, reason="there is no kernel here"),
    pytest.mark.skipif(sys.platform != "linux", reason="the script reads /proc"),
]


def _run(*arguments: str) -> list[dict[str, Any]]:
    """What the script reports; a fresh process, because a test run's own memory is in motion."""
    command = [sys.executable, str(SCRIPT), *arguments]
    done = subprocess.run(command, cwd=SCRIPT.parents[2], check=True, capture_output=True, text=True, timeout=110)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_many_documents_leave_nothing_behind() -> None:
    """Batches, threads, new kernels and refused calls: from a tenth of the documents on, the process stays as it is."""
    sizes = {row["share"]: row["rss"] for row in _run("leaks", "100000")}
    assert sizes[1.0] - sizes[0.1] < 8 * MEBIBYTE


@pytest.mark.slow
def test_large_documents_take_no_memory() -> None:
    """Of 50 million characters with a word model, less with others: long words, no white space, sigmas, any width."""
    word = _run("peaks", "50_000_000", "word")
    others = [row for analyzer in ("char", "char_wb") for row in _run("peaks", "1_000_000", analyzer)]
    assert {row["analyzer"] for row in [*word, *others]} == {"word", "char", "char_wb"}
    assert [row for row in word if row["growth"] >= 64 * MEBIBYTE] == []
    assert [row for row in others if row["growth"] >= 8 * MEBIBYTE] == []
