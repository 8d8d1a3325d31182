"""What the commands of `clf models` share: the language argument, and one sentence for what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from models.bundle import BundleError
from models.store import StoreError
from schemas.language import UNDETERMINED, normalise_language
from worker.lifecycle import ExitCode


class RefusedError(click.ClickException):
    """The command was understood and cannot be carried out: exit code 3."""

    exit_code = ExitCode.CANNOT_START


class LanguageType(click.ParamType[str]):
    """A language code in any common form; becomes the normalised code."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Normalise "eng", "en-GB" and the like to "en"."""
        code = normalise_language(value)
        if code == UNDETERMINED:
            self.fail(f"{value!r} is not a language code such as en, deu or hy.", param, ctx)
        return code


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a person can act on into one message and exit code 3."""
    try:
        yield
    except (StoreError, BundleError) as error:
        raise RefusedError(str(error)) from error
