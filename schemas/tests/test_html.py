"""HTML to text: what a reader sees, whatever the markup."""

import pytest

from schemas.decoding import DecodeError, DecodeReason
from schemas.html import HtmlText, read_html

PAGE = """<!doctype html><html lang="en-US"><head><meta charset="iso-8859-1"><title> A &amp;
 B </title><style>p{}</style></head><body><nav>menu</nav><header><h1>Head</h1></header>
<p>One <b>bo</b>ld <a href=x>li<i>nk</i></a>,
grün.</p><ul><li>a<li>b</ul><table><tr><td>1</td><td>2</td></tr></table><script>var x = "</p>"</script>
tail<br>line<svg><title>icon</title><text>t</text></svg><!-- note --><footer>(c)</footer></body></html>"""


def test_a_page_becomes_its_lines() -> None:
    """Blocks are lines, inline tags join, navigation, scripts and comments go, and the text is taken as decoded."""
    text = "Head\nOne bold link, grün.\na\nb\n1\n2\ntail\nline"
    assert read_html(PAGE) == HtmlText("A & B", text, "en-US")


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("", HtmlText("", "", "")),
        (" \n", HtmlText("", "", "")),
        ("no markup & all", HtmlText("", "no markup & all", "")),
        ("a\0b", HtmlText("", "a\N{REPLACEMENT CHARACTER}b", "")),
        ("</nav>x", HtmlText("", "x", "")),
        ("<p>1<title>late</title>2", HtmlText("late", "1\n2", "")),
        ("<html xml:lang='de'><p>ü", HtmlText("", "ü", "de")),
        ("<title>only", HtmlText("only", "", "")),
    ],
)
def test_broken_pages_still_have_a_text(markup: str, expected: HtmlText) -> None:
    """Nothing of what is no proper page fails."""
    assert read_html(markup) == expected


def test_a_lone_surrogate_is_told_by_its_place() -> None:
    """What UTF-8 cannot hold is refused as everywhere."""
    with pytest.raises(DecodeError, match="character 1") as caught:
        read_html("x\ud800")
    assert caught.value.reason is DecodeReason.NOT_UTF8


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["<b>", "<div>", "<!--", "<a x=y ", "<", "&", "<script>", "<![CDATA[", "<a href='"])
def test_hostile_markup_takes_time_by_its_length(piece: str) -> None:
    """A parser that builds a tree takes minutes for some of these."""
    assert isinstance(read_html(piece * 50_000 + "x"), HtmlText)
