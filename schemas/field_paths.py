"""Documents out of JSON objects that call their fields otherwise, or keep them deeper."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from schemas.decoding import DecodeError, DecodeReason, parse_object, wrong_type
from schemas.document import Document, checked_url
from schemas.html import html_needs, read_html

_TEXTS: Final = ("url", "title", "text", "lang")
_HTML: Final = "html"
_NAMES: Final = (*_TEXTS, _HTML)
# Of these every string of an array counts, of the others the first.
_JOINED: Final = frozenset({"title", "text", _HTML})


class FieldPathsError(ValueError):
    """The mapping is written wrongly, or needs what is not installed. The text says what to do."""


@dataclass(frozen=True, slots=True)
class FieldPaths:
    """Where the fields of a document are found in another JSON object.

    A path such as ``body.content`` leads through objects; a name that has a dot itself is found too. An array of
    strings counts as its strings, a line each, for title, text and html, and as its first one for url and lang. From
    ``html`` come the text, and title and language where the object has none.

    Attributes:
        paths: By field of the document; those that are not named here are called as they are.
    """

    paths: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``url=link,text=body.content``.

        Raises:
            FieldPathsError: it is none, names a field twice, or one that a document has not.
        """
        paths: dict[str, str] = {}
        for pair in text.split(","):
            name, equals, path = (part.strip() for part in pair.partition("="))
            if not equals or not all(path.split(".")):
                raise FieldPathsError(f"{pair.strip()!r} is not FIELD=PATH, such as text=body.content.")
            if name not in _NAMES:
                raise FieldPathsError(f"A document has no field {name!r}: take {', '.join(_NAMES)}.")
            if name in paths:
                raise FieldPathsError(f"The field {name} is named twice.")
            paths[name] = path
        if _HTML in paths:
            if "text" in paths:
                raise FieldPathsError("The text comes from text=... or from html=..., not from both.")
            if needs := html_needs():
                raise FieldPathsError(needs)
        return cls(paths)

    def __str__(self) -> str:
        return ",".join(f"{name}={path}" for name, path in self.paths.items())

    def read(self, value: bytes) -> Document:
        """Read the document of one JSON object.

        Raises:
            DecodeError: it is no JSON object, or has no document at those paths.
        """
        return self.document(parse_object(value))

    def document(self, found: Mapping[str, object]) -> Document:
        """The document of an object that is parsed already. Raises DecodeError."""

        def text(name: str) -> str:
            path = self.paths.get(name, name)
            return _text(value_at(found, path), path, joined=name in _JOINED)

        if _HTML not in self.paths:
            return Document(self._url(found), text("title"), text("text"), text("lang"))
        page = read_html(text(_HTML))
        return Document(self._url(found), text("title") or page.title, page.text, text("lang") or page.lang)

    def _url(self, found: Mapping[str, object]) -> str:
        path = self.paths.get("url", "url")
        url = _text(value_at(found, path), path, joined=False)
        if not url:
            raise DecodeError(DecodeReason.URL_MISSING, f'the field "{path}" is missing, null or empty')
        return checked_url(url)


def value_at(found: object, path: str) -> object:
    """What is at the path; None when there is nothing."""
    if not isinstance(found, dict):
        return None
    if path in found:
        return found[path]
    name, _, rest = path.partition(".")
    return value_at(found.get(name), rest) if rest else None


def _text(value: object, path: str, *, joined: bool) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return "\n".join(value) if joined else "".join(value[:1])
    raise wrong_type(path, value, "a string or an array of strings")
