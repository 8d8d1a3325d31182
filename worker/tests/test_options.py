"""Options from dataclasses."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from worker.options import option, options


class Colour(StrEnum):
    """Values that differ from the names."""

    LIGHT_BLUE = "light-blue"
    RED = "red"


@dataclass(frozen=True, slots=True)
class PaintShop:
    """One of every kind."""

    colour: Colour = option(Colour.LIGHT_BLUE, "Which colour.")
    coat_count: int = option(2, "How many coats.", type=click.IntRange(1, 5))
    name: str = option("", "A name. [default: none]")
    dry: bool = option(True, "--no-dry leaves it wet.")  # noqa: FBT003 - the default of a flag
    recipe: Path | None = option(None, "A file.", type=click.Path(path_type=Path))


@dataclass(frozen=True, slots=True)
class Other:
    """A second group."""

    share: float = option(0.5, "A share.")


def run(*arguments: str, **environment: str) -> tuple[int, str, list[object]]:
    """Run a command with both groups: exit code, output, and what it was handed."""
    handed: list[object] = []

    @click.command()
    @options(PaintShop, Other)
    @click.option("--own", is_flag=True)
    def command(paint_shop: PaintShop, other: Other, *, own: bool) -> None:
        handed.extend([paint_shop, other, own])

    result = CliRunner().invoke(command, arguments, env=environment)
    return result.exit_code, result.output, handed


def test_defaults() -> None:
    """Without options every group is as its class says, members of enums included, beside the command's own options."""
    assert run() == (0, "", [PaintShop(), Other(), False])
    assert isinstance(run()[2][0], PaintShop)


def test_every_kind_of_option() -> None:
    """Names have dashes, enums take their values, flags have a negative, and types are checked."""
    code, output, handed = run(
        "--colour", "red", "--coat-count=3", "--no-dry", "--recipe", "r.txt", "--share", "1", "--name", "x", "--own"
    )
    assert (code, output) == (0, "")
    assert handed == [PaintShop(Colour.RED, 3, "x", dry=False, recipe=Path("r.txt")), Other(1.0), True]
    assert type(getattr(handed[0], "colour")) is Colour  # noqa: B009 - of an object


def test_the_environment() -> None:
    """Each option is CLF_ and its name in capitals; the command line wins over it."""
    environment = {"CLF_COLOUR": "red", "CLF_COAT_COUNT": "4", "CLF_DRY": "false", "CLF_SHARE": "0.25"}
    assert run(**environment)[2] == [PaintShop(Colour.RED, 4, dry=False), Other(0.25), False]
    assert run("--coat-count", "1", **environment)[2][0] == PaintShop(Colour.RED, 1, dry=False)
    assert run(CLF_COLOUR="")[2][0] == PaintShop(), "an empty variable counts as none"


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--colour", "LIGHT_BLUE"], {}),
        (["--coat-count", "6"], {}),
        (["--share", "much"], {}),
        ([], {"CLF_COAT_COUNT": "0"}),
    ],
)
def test_wrong_values_are_wrong_usage(arguments: list[str], environment: dict[str, str]) -> None:
    """Exit code 2, wherever the value came from, and the command is not run."""
    code, output, handed = run(*arguments, **environment)
    assert (code, handed) == (2, [])
    assert "Error: Invalid value for" in output


def test_help() -> None:
    """It shows each option once with its text, its default, its variable and its choices."""
    code, output, _ = run("--help")
    text = " ".join(output.split())
    assert code == 0
    for part in ("--colour [light-blue|red]", "CLF_COLOUR", "default: light-blue", "--dry / --no-dry", "1<=x<=5"):
        assert part in text
    assert text.count("How many coats.") == 1
    assert "default: ;" not in text
    assert "default: None" not in text
