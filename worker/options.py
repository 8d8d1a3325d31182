"""Command-line options from frozen dataclasses: each option is written once, as a field, with its help and default.

    @dataclass(frozen=True, slots=True)
    class Http:
        http_port: int = option(9464, "Port for health and metrics; 0 takes a free one.", type=click.IntRange(0, 65535))

    @click.command()
    @options(Http)
    def serve(http: Http) -> None: ...

gives `--http-port`, read from `CLF_HTTP_PORT` too, and hands the command one `Http` value. Defaults, choices and
environment variables are shown by `--help`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import field, fields
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

import click

from schemas.field_paths import FieldPaths, FieldPathsError

Function = TypeVar("Function", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_CLICK = "click"


def option(default: Any, help_text: str, **attributes: Any) -> Any:  # noqa: ANN401 - like dataclasses.field, it takes the type of its field
    """A dataclass field that is a command-line option too.

    Args:
        default: The value without the option.
        help_text: What `--help` says.
        attributes: Anything `click.option` takes, such as `type`.
    """
    return field(default=default, metadata={_CLICK: {"help": help_text, **attributes}})


def options(*groups: type) -> Callable[[Function], Function]:
    """Give a command the options of `groups`, and pass it one value of each, named after its class in snake_case."""

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(*args: object, **values: object) -> object:
            for group in groups:
                names = [item.name for item in fields(group)]
                values[_snake_case(group.__name__)] = group(**{name: values.pop(name) for name in names})
            return function(*args, **values)

        decorated: Callable[..., object] = call
        for group in reversed(groups):
            decorated = _with_options(decorated, group)
        return cast("Function", decorated)

    return decorate


def arguments(group: Any) -> list[str]:  # noqa: ANN401 - a value of any group of options
    """The command line that makes this value of a group again, whatever the environment says.

    What is None has no spelling on a command line and is left out: the environment must not say anything about it.
    """
    found = []
    for item in fields(group):
        value, flag = getattr(group, item.name), "--" + item.name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            found.append(flag if value else f"--no-{flag[2:]}")
        else:
            found.append(f"{flag}={value}")
    return found


class EnumChoice(click.Choice[str]):
    """One of an enum's values, spelled as the value is; click itself would offer the names of the members."""

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__([member.value for member in enum])
        self._enum = enum

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - as click's own
        """The member of that value."""
        return self._enum(super().convert(str(value), param, ctx))


class FiniteRange(click.FloatRange):
    """A range without `nan` and `inf`, which no comparison with a bound keeps out."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - as click's own
        """A finite number within the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FieldPathsType(click.ParamType[FieldPaths]):
    """Where documents keep their fields, such as `url=link,text=body.content`."""

    name = "FIELD=PATH,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FieldPaths:
        """The paths."""
        try:
            return value if isinstance(value, FieldPaths) else FieldPaths.parse(str(value))
        except FieldPathsError as error:
            self.fail(str(error), param, ctx)


def _with_options(function: Callable[..., object], group: type) -> Callable[..., object]:
    hints = get_type_hints(group)
    for item in reversed(fields(group)):
        attributes = dict(item.metadata[_CLICK])
        attributes.setdefault("type", _parameter_type(hints[item.name]))
        flag = "--" + item.name.replace("_", "-")
        if hints[item.name] is bool:
            flag = f"{flag}/--no-{item.name.replace('_', '-')}"
            attributes.pop("type")
        decorator = click.option(
            flag,
            item.name,
            default=str(item.default) if isinstance(item.default, StrEnum) else item.default,
            envvar="CLF_" + item.name.upper(),
            show_envvar=True,
            show_default=item.default not in (None, ""),
            **attributes,
        )
        function = decorator(function)
    return function


def _parameter_type(hint: Any) -> Any:  # noqa: ANN401 - annotations in, whatever click takes out
    return EnumChoice(hint) if isinstance(hint, type) and issubclass(hint, StrEnum) else hint


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
