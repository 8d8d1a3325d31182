"""HTML to text, with lxml (the extra `html`). Reads events, builds no tree: time grows with the length alone."""

import importlib.util
from typing import Final, NamedTuple

from schemas.decoding import DecodeError, DecodeReason

# What a reader does not see, or what is not about this page.
_SKIPPED: Final = frozenset(
    {"script", "style", "noscript", "template", "svg", "iframe", "object", "nav", "aside", "footer", "select", "button"}
)
# Within a line; every other element begins a new one.
_INLINE: Final = frozenset(
    {
        "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i",
        "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
        "time", "tt", "u", "var", "wbr",
    }
)  # fmt: skip


class HtmlText(NamedTuple):
    """What is taken from a page; empty where it has none.

    Attributes:
        title: Of the element `title`.
        text: What is seen of the page, a line for every block.
        lang: Of the attribute `lang` of the element `html`.
    """

    title: str
    text: str
    lang: str


def html_needs() -> str:
    """What has to be installed for `read_html`, as a sentence; empty when nothing is missing."""
    if importlib.util.find_spec("lxml") is None:
        return "Reading HTML needs lxml: pip install 'clf-worker[html]'."
    return ""


def read_html(markup: str) -> HtmlText:
    """Take title, text and language from a page, however broken; a text without markup is its own text.

    Raises:
        DecodeError: not_utf8, `markup` holds a lone surrogate.
    """
    from lxml import etree  # noqa: PLC0415 - an optional dependency, asked for by `html_needs`

    reader = _Reader()
    parser = etree.HTMLParser(target=reader)  # type: ignore[arg-type]  # the stubs let it give bytes, which it never does
    try:
        parser.feed(markup)
        parser.close()
    except UnicodeEncodeError as error:
        detail = f"the HTML has a lone surrogate at character {error.start}, which UTF-8 cannot hold"
        raise DecodeError(DecodeReason.NOT_UTF8, detail) from None
    except etree.XMLSyntaxError:
        pass  # there was nothing in it
    return reader.result()


class _Reader:
    """Told by the parser of every tag and text."""

    def __init__(self) -> None:
        self._lang = ""
        self._title: list[str] = []
        self._text: list[str] = []
        self._in_title = False
        self._skipping = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if tag == "html":
            self._lang = self._lang or attributes.get("lang", "") or attributes.get("xml:lang", "")
        elif tag in _SKIPPED:
            self._skipping += 1
        elif tag == "title":
            self._in_title = True
        elif tag not in _INLINE:
            self._text.append("\n")

    def end(self, tag: str) -> None:
        """An element ends; one that was never closed ends with the element around it."""
        if tag in _SKIPPED:
            self._skipping -= 1
        elif tag == "title":
            self._in_title = False
        elif tag not in _INLINE:
            self._text.append("\n")

    def data(self, text: str) -> None:
        """A piece of text."""
        if self._skipping:
            return
        (self._title if self._in_title else self._text).append(text.replace("\n", " "))

    def comment(self, text: str) -> None:
        """Nobody reads it."""

    def close(self) -> None:
        """The page ends."""

    def result(self) -> HtmlText:
        """What was found."""
        lines = (" ".join(line.split()) for line in "".join(self._text).split("\n"))
        return HtmlText(
            " ".join("".join(self._title).split()), "\n".join(line for line in lines if line), self._lang.strip()
        )
