"""RUNBOOK.md as tests read it: the commands, the inline commands and the printed answers of each section."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

RUNBOOK = Path(__file__).parent.parent / "RUNBOOK.md"
_BLOCK = re.compile(r"(?ms)^ *```\n(.*?)^ *```$")
_PROGRAM = re.compile(r"(export|echo|clf|curl|cat|df|kafka-[a-z-]+\.sh) ")


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading.

    Attributes:
        commands: the lines of its blocks that are to be typed, with their comments.
        inline: those in its sentences that have an argument at least.
        answers: its other blocks: what is printed.
    """

    heading: str
    commands: tuple[str, ...]
    inline: tuple[str, ...]
    answers: tuple[str, ...]


@cache
def sections() -> dict[str, Section]:
    """All sections, by heading, in their order."""
    parts = re.split(r"(?m)^#+ (.*)\n", RUNBOOK.read_text("utf-8"))
    return {heading: _section(heading, text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def section(heading: str) -> Section:
    """The section of that heading."""
    return sections()[heading]


def _section(heading: str, text: str) -> Section:
    blocks = [dedent(block) for block in _BLOCK.findall(text)]
    typed = [block for block in blocks if _PROGRAM.match(block)]
    named = re.findall(r"`([^`\n]+)`", _BLOCK.sub("", text))
    return Section(
        heading,
        commands=tuple(line for block in typed for line in block.splitlines()),
        inline=tuple(command for command in named if _PROGRAM.match(command)),
        answers=tuple(block for block in blocks if block not in typed),
    )
