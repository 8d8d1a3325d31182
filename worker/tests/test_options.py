"""Options from dataclasses."""

from dataclasses import Field, dataclass, fields
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.config import ServeConfig
from worker.options import arguments, option, options


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


# --- the way back --------------------------------------------------------------------------------------------

GROUPS: list[type] = [PaintShop, Other, *get_type_hints(ServeConfig).values()]
# What the environment says about an option of each kind.
ELSEWHERE = {bool: "true", int: "61", float: "61.5", str: "elsewhere", Path: __file__}


def values_of(item: "Field[Any]", hint: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - annotations in
    """Values that a field may have: what its type is and its option would accept."""
    kind = item.metadata["click"].get("type")
    if isinstance(hint, UnionType):
        return st.none() | values_of(item, next(inner for inner in get_args(hint) if inner is not type(None)))
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if isinstance(kind, click.Choice):
        return st.sampled_from(kind.choices)
    if hint in {int, float}:
        return numbers(hint, getattr(kind, "min", None), getattr(kind, "max", None))
    if hint is Path:
        exists = isinstance(kind, click.Path) and kind.exists
        return st.just(Path(__file__)) if exists else st.sampled_from(["-p", "a b", "--x=y", "\u00fc"]).map(Path)
    return st.booleans() if hint is bool else st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def numbers(hint: type, lowest: float | None, highest: float | None) -> st.SearchStrategy[Any]:
    """Numbers of a range; the lower end itself may be forbidden to floats."""
    if hint is int:
        return st.integers(lowest, highest)  # type: ignore[arg-type]  # ranges of integers have integers
    return st.floats(lowest, highest, allow_nan=False, allow_infinity=False).filter(lambda value: value != lowest)


def value_of(group: type) -> st.SearchStrategy[Any]:
    """Values of a group."""
    hints = get_type_hints(group)
    return st.builds(group, **{item.name: values_of(item, hints[item.name]) for item in fields(group)})


def parsed(group: type, given: list[str], environment: dict[str, str]) -> object:
    """What a command with the options of one group is handed."""
    handed: list[object] = []

    @click.command()
    @options(group)
    def command(**groups: object) -> None:
        handed.extend(groups.values())

    result = CliRunner().invoke(command, given, env=environment)
    assert result.exit_code == 0, result.output
    return handed[0]


@pytest.mark.parametrize("group", GROUPS)
@settings(deadline=None, max_examples=30)  # wall time per example says nothing on a shared machine
@given(st.data(), st.booleans())
def test_a_value_comes_back_from_its_command_line(group: type, data: st.DataObject, contradicted: bool) -> None:  # noqa: FBT001 - drawn
    """Any value of any group is made again, to the last bit, also where the environment says something else."""
    hints = get_type_hints(group)
    value = data.draw(value_of(group))
    environment = {
        f"CLF_{item.name.upper()}": elsewhere(hints[item.name])
        for item in fields(group)
        if contradicted and getattr(value, item.name) is not None
    }
    assert parsed(group, arguments(value), environment) == value


def elsewhere(hint: Any) -> str:  # noqa: ANN401 - annotations in
    """What an environment may say about a field; it need not be sensible, for it is not to be read."""
    inner = next((inner for inner in get_args(hint) if inner is not type(None)), hint)
    return ELSEWHERE.get(inner, "none")


def test_the_environment_of_the_test_would_be_read() -> None:
    """It is the command line that keeps it out: without one, the value of the environment counts."""
    assert parsed(Other, [], {"CLF_SHARE": ELSEWHERE[float]}) == Other(61.5)


def test_the_command_line_is_one_word_per_option() -> None:
    """Nothing that is given can be taken for an option, and flags have a word for no."""
    assert arguments(PaintShop(Colour.RED, 3, "--dry", dry=False)) == [
        "--colour=red",
        "--coat-count=3",
        "--name=--dry",
        "--no-dry",
    ]
