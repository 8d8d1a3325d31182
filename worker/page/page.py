"""What a page says, and how it becomes HTML."""

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from worker.clock import Clock
from worker.serve.http import Answer

if TYPE_CHECKING:
    from jinja2 import Template

_HERE = Path(__file__).parent
# However many look at it, it is made that often at most.
_KEEP_SECONDS = 0.5


class Column(NamedTuple):
    """`kind` is "word" (text in one line), "long" (text that may be broken), "number", or "share" (0 to 1, drawn)."""

    name: str
    kind: str = "word"


LONG, NUMBER, SHARE = "long", "number", "share"


class Fact(NamedTuple):
    """One number that matters."""

    name: str
    value: str
    more: str = ""


class Section(NamedTuple):
    """A table; the first cell of a row names it. Cells of a share are numbers, all others are texts."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | float]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All that is shown.

    Attributes:
        name: of the process.
        not_ready_because: as `/ready` has it.
        about: which one it is.
        facts: what matters most.
        sections: the rest.
    """

    name: str
    not_ready_because: str | None
    about: str
    facts: Sequence[Fact]
    sections: Sequence[Section]

    @property
    def is_ready(self) -> bool:
        """Whether it may take traffic."""
        return self.not_ready_because is None

    @property
    def state(self) -> str:
        """The same in words."""
        return "ready" if self.is_ready else f"not ready, {self.not_ready_because}"


class StatusPage:
    """The route of the page. Any thread may call it."""

    def __init__(self, page: Callable[[], Page], clock: Clock) -> None:
        """`page` is asked at most twice a second."""
        self._page = page
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[float, Answer] | None = None

    def __call__(self) -> Answer:
        """The page as it is now."""
        with self._lock:
            now = self._clock.monotonic()
            if self._kept is None or now - self._kept[0] >= _KEEP_SECONDS:
                self._kept = now, answer(self._page())
            return self._kept[1]


def answer(page: Page) -> Answer:
    """The page in HTML. Its own style and script may be used and nothing else, wherever it might come from."""
    style, script = _text("status.css"), _text("status.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    html = _template().render(page=page, style=style, script=script)
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Answer(200, "text/html; charset=utf-8", html.encode("utf-8", "replace"), headers)


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - most processes are never looked at

    return Environment(autoescape=True, undefined=StrictUndefined).from_string(_text("status.html.j2"))


@cache
def _text(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
