"""The README's configuration tables say what the options say."""

from dataclasses import fields
from pathlib import Path

import pytest

from worker.config import ServeConfig, WorkerConfig

README = Path(__file__).parents[2] / "README.md"
HEADER = "| option | variable | default | |\n|---|---|---|---|\n"


def expected_table(config: type) -> str:
    """One row per option, in the order of the help."""
    rows = []
    for group in fields(config):
        for item in fields(group.type):  # type: ignore[arg-type]  # the fields of a configuration are typed by classes
            name, default = item.name, item.default
            shown = (
                "" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"
            )
            flag = f"--{name.replace('_', '-')}"
            rows.append(f"| `{flag}` | `CLF_{name.upper()}` | {shown} | {item.metadata['click']['help']} |\n")
    return HEADER + "".join(rows)


@pytest.mark.skipif(not README.exists(), reason="there is no README beside an installed package")
@pytest.mark.parametrize("config", [WorkerConfig, ServeConfig])
def test_the_configuration_table_is_current(config: type) -> None:
    """Whoever adds an option copies this table into the README."""
    assert expected_table(config) in README.read_text("utf-8")
