"""The runbook names commands that there are, with options that they have, and sections that it has."""

import re
import shlex
from pathlib import Path

import click
import pytest

from worker.cli import main

RUNBOOK = Path(__file__).parents[2] / "RUNBOOK.md"
TEXT = RUNBOOK.read_text("utf-8") if RUNBOOK.exists() else ""
# In a block, alone or behind a pipe; in a sentence, where it has an argument at least.
IN_BLOCKS = re.findall(r"(?m)^ *(?:\$ |.*\| )?(clf [a-z].*)$", "".join(re.findall(r"(?ms)^ *```\n(.*?)^ *```$", TEXT)))
IN_SENTENCES = re.findall(r"`(?:[^`]*\| )?(clf [a-z][^`]*)`", re.sub(r"(?ms)^ *```\n.*?^ *```$", "", TEXT))
COMMANDS = sorted({re.sub(r"  +#.*", "", line).rstrip("; ") for line in (*IN_BLOCKS, *IN_SENTENCES)})

pytestmark = pytest.mark.skipif(not RUNBOOK.exists(), reason="there is no runbook beside an installed package")


def anchor(heading: str) -> str:
    """How a heading is linked to."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_there_are_commands() -> None:
    """Or the next test would say nothing."""
    assert len(COMMANDS) > 25
    assert "clf topics check" in COMMANDS


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_line_parses(line: str) -> None:
    """Each subcommand exists and takes these options and arguments; nothing is run.

    A file that is named need not be there: to have it is the reader's part.
    """
    command: click.Command = main
    words = shlex.split(line)[1:]
    context = click.Context(main, info_name="clf")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        assert found is not None, f"there is no `{line}`"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    _, rest, _ = command.make_parser(context).parse_args(words)
    assert not rest, f"`{line}` takes no {rest}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(#([^)]*)\)", TEXT))))
def test_a_link_leads_somewhere(target: str) -> None:
    """Every link within the runbook names one of its headings."""
    assert target in {anchor(heading) for heading in re.findall(r"(?m)^#+ (.*)$", TEXT)}
