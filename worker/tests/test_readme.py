"""The README's configuration tables say what the options say."""

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from worker.config import ServeConfig, WorkerConfig

README = Path(__file__).parents[2] / "README.md"
HEADER = "| option | variable | default | |\n|---|---|---|---|\n"


# What the second table need not repeat.
SHARED = {item.type for item in fields(WorkerConfig)}


def expected_table(groups: Iterable[Any]) -> str:
    """One row per option of these groups, in the order of the help."""
    rows = []
    for item in [item for group in groups for item in fields(group)]:
        name, default = item.name, item.default
        shown = "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        flag = f"--{name.replace('_', '-')}"
        rows.append(f"| `{flag}` | `CLF_{name.upper()}` | {shown} | {item.metadata['click']['help']} |\n")
    return HEADER + "".join(rows)


@pytest.mark.skipif(not README.exists(), reason="there is no README beside an installed package")
def test_the_configuration_tables_are_current() -> None:
    """Whoever adds an option copies these tables into the README."""
    text = README.read_text("utf-8")
    assert expected_table(item.type for item in fields(WorkerConfig)) in text
    assert expected_table(item.type for item in fields(ServeConfig) if item.type not in SHARED) in text
