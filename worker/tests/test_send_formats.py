"""`clf send` of what is not ours: other names, crawlers, Common Crawl's texts."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import orjson
import pytest

from schemas.document import Document, decode_document
from worker.tests.tools import MemorySender, clf, with_cluster


def sent(sender: MemorySender) -> Sequence[Document]:
    """As a worker reads them; every key is the url."""
    found = [decode_document(item.value or b"") for item in sender.sent]
    assert [item.key for item in sender.sent] == [document.url.encode() for document in found]
    return found


def wet_record(kind: str, text: bytes, **headers: str) -> bytes:
    """One record, in a gzip member of its own as Common Crawl has it."""
    lines = [
        f"WARC/1.0\r\nWARC-Type: {kind}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    lines += ["Content-Type: text/plain", f"Content-Length: {len(text)}", "", ""]
    return gzip.compress("\r\n".join(lines).encode() + text + b"\r\n\r\n")


def conversion(url: str, text: bytes, lang: str = "deu,eng") -> bytes:
    """A text."""
    return wet_record(
        "conversion", text, WARC_Target_URI=url, WARC_Identified_Content_Language=lang, WARC_Date="2026-01-01T00:00:00Z"
    )


INFO = wet_record("warcinfo", b"Software-Info: ia-web-commons\r\n", WARC_Date="2026-01-01T00:00:00Z")


def test_fields_of_other_names(tmp_path: Path) -> None:
    """--fields sends the document that is found there, with its language filled in and its url of the round."""
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b'{"link": "u", "body": {"content": "one"}}\n{"url": "v"}\n')
    sender = MemorySender()
    arguments = ("--fields", "url=link,text=body.content", "--lang", "en", "--repeat", "2")
    result = with_cluster("send", path, *arguments, sender=sender)
    assert result.exit_code == 1
    assert f'{path}, line 2: the field "link" is missing, null or empty (url_missing)' in result.stderr
    assert sent(sender) == [Document("u", "", "one", "en"), Document("u#2", "", "one", "en")]


def test_a_crawler(tmp_path: Path) -> None:
    """--format names what wrote the lines; what its own source gives up on is reported and left out."""
    path = tmp_path / "firehose.jsonl.gz"
    record = {"url": "u", "body": "<html lang=de><title>T</title><p>Hallo", "attrs": {}}
    path.write_bytes(gzip.compress(orjson.dumps(record) + b"\njson failed to parse\n"))
    sender = MemorySender()
    result = with_cluster("send", tmp_path, "--format", "scrapy-cluster", sender=sender)
    assert (result.exit_code, sent(sender)) == (1, [Document("u", "T", "Hallo", "de")])
    assert "line 2: the value is not JSON" in result.stderr


def test_common_crawl(tmp_path: Path) -> None:
    """The conversion records of a WET file are texts with the languages that were found in them."""
    path = tmp_path / "CC-MAIN-1.warc.wet.gz"
    bad = [conversion("", b"no url"), conversion("v", b"\xff"), conversion("w", b"x" * 2000)]
    path.write_bytes(b"".join([INFO, conversion("u", b"Titel\nEin Text.\n"), *bad, conversion("z", b"last", "")]))
    sender = MemorySender()
    result = with_cluster("send", tmp_path, "--format", "wet", "--max-document-bytes", "1000", sender=sender)
    assert result.exit_code == 1
    assert sent(sender) == [Document("u", "", "Titel\nEin Text.", "deu,eng"), Document("z", "", "last")]
    assert sent(sender)[0].language == "de"
    for number, reason in [(3, "url_missing"), (4, "not_utf8"), (5, "too_large")]:
        assert any(f"line {number}: " in line and reason in line for line in result.stderr.splitlines())


@pytest.mark.parametrize("damage", ["cut", "flipped", "no warc"])
def test_a_damaged_archive_is_told(tmp_path: Path, damage: str) -> None:
    """What comes before the damage is sent, the rest is reported as lost."""
    path = tmp_path / "a.warc.wet.gz"
    whole, last = INFO + conversion("u", b"one"), conversion("v", bytes(range(32, 120)) * 20)
    if damage == "cut":
        last = last[: len(last) // 2]
    elif damage == "flipped":
        last = last[:40] + bytes([last[40] ^ 255, last[41] ^ 255]) + last[42:]
    else:
        last = gzip.compress(b"hello\n" * 100)
    path.write_bytes(whole + last)
    sender = MemorySender()
    result = with_cluster("send", path, "--format", "wet", sender=sender)
    assert (result.exit_code, sent(sender)) == (1, [Document("u", "", "one", "deu,eng")])
    assert "the rest of the file is lost" in result.stderr


def test_missing_libraries_and_contradictions_are_wrong_usage(tmp_path: Path) -> None:
    """They end with 2 and say what to install, or what does not go together."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{}\n")
    with patch("importlib.util.find_spec", return_value=None):
        for form, extra in [("wet", "warc"), ("nutch", "html")]:
            result = clf("send", path, "--format", form)
            assert (result.exit_code, f"clf-worker[{extra}]" in result.stderr) == (2, True)
    assert clf("send", path, "--format", "nutch", "--fields", "url=a").exit_code == 2
    assert clf("send", path, "--fields", "url=a", "--raw").exit_code == 2
    result = clf("send", path, "--fields", "uri=a")
    assert (result.exit_code, "no field 'uri'" in result.stderr) == (2, True)
