"""Reading typed values out of foreign JSON, with the name of the field in every refusal."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn, TypeVar

from models.problems import BundleError, BundleProblem

Choice = TypeVar("Choice", bound=str)
_PAIR: Final = 2


def parse_json(data: bytes, where: str, problem: BundleProblem) -> object:
    """Parse strict JSON: UTF-8, no NaN or Infinity, no absurd nesting.

    Raises:
        BundleError: `problem`, naming `where`.
    """
    try:
        parsed: object = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(problem, f"{where} is not JSON ({error}). Copy the bundle again or train again.") from error
    return parsed


def canonical_json(value: object) -> bytes:
    """One byte form per value: sorted keys, no spaces, UTF-8.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no JSON form.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


class Fields:
    """A JSON object whose fields are asked for by name and type.

    Args:
        values: what JSON parsing gave; anything but an object is refused.
        where: how to call it in a message, such as "manifest.json".
        problem: the reason that every refusal carries.
    """

    def __init__(self, values: object, where: str, problem: BundleProblem) -> None:
        self._where = where
        self._problem = problem
        if not isinstance(values, dict):
            self._refuse("it", "an object")
        self.values: Mapping[str, object] = values

    def child(self, name: str) -> "Fields":
        """A field that is an object itself."""
        return Fields(self._get(name), f"{self._where}, field {name!r}", self._problem)

    def children(self, name: str) -> "list[Fields]":
        """A field that is a list of objects."""
        return [Fields(value, f"{self._where}, field {name!r}", self._problem) for value in self._list(name)]

    def mapping(self, name: str) -> Mapping[str, object]:
        """A field that is an object of anything."""
        return self.child(name).values

    def text(self, name: str) -> str:
        """A field that is a string."""
        value = self._get(name)
        return value if isinstance(value, str) else self._refuse(name, "a string")

    def optional_text(self, name: str) -> str | None:
        """A field that is a string or null."""
        return None if self._get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        """A field that is true or false."""
        value = self._get(name)
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def integer(self, name: str) -> int:
        """A field that is a whole number."""
        value = self._get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return self._refuse(name, "a whole number")

    def choice(self, name: str, allowed: Sequence[Choice]) -> Choice:
        """A field that is one of the strings in `allowed`."""
        value = self._get(name)
        for candidate in allowed:
            if value == candidate:
                return candidate
        return self._refuse(name, f"one of {', '.join(allowed)}")

    def optional_choice(self, name: str, allowed: Sequence[Choice]) -> Choice | None:
        """A field that is one of the strings in `allowed`, or null."""
        return None if self._get(name) is None else self.choice(name, allowed)

    def range(self, name: str) -> tuple[int, int]:
        """A field that is a list of two whole numbers."""
        value = self._list(name)
        whole = [part for part in value if isinstance(part, int) and not isinstance(part, bool)]
        if len(whole) != len(value) or len(whole) != _PAIR:
            self._refuse(name, "a list of two whole numbers")
        return whole[0], whole[1]

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """A field that is a list of strings or null."""
        return None if self._get(name) is None else self.texts(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A field that is a list of strings."""
        values = self._list(name)
        texts = tuple(value for value in values if isinstance(value, str))
        return texts if len(texts) == len(values) else self._refuse(name, "a list of strings")

    def numbers(self, name: str) -> tuple[float, ...]:
        """A field that is a list of finite numbers."""
        numbers = tuple(self._number(name, value) for value in self._list(name))
        if all(math.isfinite(number) for number in numbers):
            return numbers
        raise BundleError(
            BundleProblem.NOT_FINITE,
            f"{self._where}: {name!r} holds a number that is not finite. Train the model again.",
        )

    def _number(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, "a list of numbers")
        try:
            return float(value)
        except OverflowError:
            return math.inf

    def _list(self, name: str) -> list[object]:
        value = self._get(name)
        return value if isinstance(value, list) else self._refuse(name, "a list")

    def _get(self, name: str) -> object:
        if name not in self.values:
            raise BundleError(self._problem, f"{self._where}: {name!r} is missing. Train the model again.")
        return self.values[name]

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise BundleError(self._problem, f"{self._where}: {name!r} must be {expected}. Train the model again.")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
