"""Progress: bars for people, lines for logs."""

import io

import pytest
from rich.console import Console

from training.progress import Bars, Lines, progress_for


def test_lines_name_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One plain line per stage, on standard error."""
    with Lines().stage("Counting", 3) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Counting: ")
    assert captured.err.count("\n") == 1


def test_bars_reach_the_end() -> None:
    """A bar is full when its stage is over."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with Bars(console).stage("Counting", 10) as advance:
        advance(3)
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "100%" in output.getvalue()


@pytest.mark.parametrize(("terminal", "kind"), [(True, Bars), (False, Lines)])
def test_bars_are_for_terminals(*, terminal: bool, kind: type) -> None:
    """Nobody wants bars in a log file."""
    assert isinstance(progress_for(Console(file=io.StringIO(), force_terminal=terminal)), kind)
