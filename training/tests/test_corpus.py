"""Corpus files: good ones, damaged ones, hostile ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from training.corpus import SHOWN_BAD_LINES, CorpusRules, LineProblem, UnusableCorpusError, read_corpus
from training.errors import TrainingError

RULES = CorpusRules(language="en", min_documents=1, max_bad_share=1.0)
GOOD = {"url": "", "title": "A title", "text": "Some text", "lang": "en", "labels": ["b", "a"]}


def test_a_good_line_becomes_a_document(write_lines: Callable[..., Path]) -> None:
    """Title and text are joined as for scoring, and labels are sorted."""
    corpus = read_corpus([write_lines([GOOD])], RULES)
    assert corpus.texts == ("A title\nSome text",)
    assert corpus.labels == (("a", "b"),)
    assert corpus.classes == ("a", "b")
    assert not corpus.single_label


def test_gzip_is_seen_from_the_content_not_the_name(write_lines: Callable[..., Path]) -> None:
    """A compressed file with a plain name is read."""
    assert read_corpus([write_lines([GOOD], compress=True)], RULES).texts == ("A title\nSome text",)


def test_only_a_line_feed_ends_a_line(write_lines: Callable[..., Path]) -> None:
    """Unicode line separators inside a text do not split it."""
    text = "one\u2028two\u0085three\x0bfour"
    line = json.dumps({**GOOD, "text": text}, ensure_ascii=False)
    assert read_corpus([write_lines([line])], RULES).texts == (f"A title\n{text}",)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"text": "\xff", "labels": ["a"]}', LineProblem.NOT_UTF8),
        (b'{"text": "half', LineProblem.NOT_JSON),
        (b"NaN", LineProblem.NOT_JSON),
        (b"[" * 100_000, LineProblem.NOT_JSON),
        (b'["list"]', LineProblem.NOT_AN_OBJECT),
        (b"null", LineProblem.NOT_AN_OBJECT),
        ({**GOOD, "text": 5}, LineProblem.WRONG_TYPE),
        ({**GOOD, "lang": ["en"]}, LineProblem.WRONG_TYPE),
        ({**GOOD, "labels": "sport"}, LineProblem.WRONG_TYPE),
        ({**GOOD, "labels": ["a", 1]}, LineProblem.WRONG_TYPE),
        ({**GOOD, "labels": []}, LineProblem.NO_LABELS),
        ({"text": "words"}, LineProblem.NO_LABELS),
        ({**GOOD, "labels": None}, LineProblem.NO_LABELS),
        ({**GOOD, "labels": ["a", " "]}, LineProblem.BAD_LABEL),
        ({**GOOD, "labels": ["a\nb"]}, LineProblem.BAD_LABEL),
        ({**GOOD, "labels": ["x" * 201]}, LineProblem.BAD_LABEL),
        ({**GOOD, "title": "", "text": " \n"}, LineProblem.NO_TEXT),
        ({**GOOD, "title": None, "text": None}, LineProblem.NO_TEXT),
        ({**GOOD, "lang": "de"}, LineProblem.OTHER_LANGUAGE),
    ],
)
def test_a_bad_line_is_reported_with_its_place_and_the_rest_is_used(
    write_lines: Callable[..., Path], line: object, problem: LineProblem
) -> None:
    """Every kind of bad line is counted under its own problem and harms no other line."""
    path = write_lines([GOOD, line, {**GOOD, "title": "Another"}])
    corpus = read_corpus([path], RULES)
    assert len(corpus.texts) == 2
    assert corpus.report.bad == {problem: 1}
    (bad,) = corpus.report.first_bad
    assert (bad.file, bad.line) == (str(path), 2)
    assert str(bad).startswith(f"{path}:2: ")


@pytest.mark.parametrize("lang", ["en", "eng", "en-GB", "", None])
def test_other_forms_of_the_language_and_none_are_taken(write_lines: Callable[..., Path], lang: str | None) -> None:
    """A document counts when its code means the language or when it has no code."""
    assert len(read_corpus([write_lines([{**GOOD, "lang": lang}])], RULES).texts) == 1


def test_other_languages_can_be_skipped_quietly(write_lines: Callable[..., Path]) -> None:
    """With the option, lines of other languages are counted apart and are not bad."""
    rules = CorpusRules(language="en", skip_other_languages=True, max_bad_share=0.0, min_documents=1)
    report = read_corpus([write_lines([GOOD, {**GOOD, "lang": "de"}])], rules).report
    assert (report.other_language, report.bad_lines) == (1, 0)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_gzip_file_cut_short_gives_its_lines_up_to_there(tmp_path: Path, kept: float) -> None:
    """What can be decompressed is used, and the cut is one bad line."""
    lines = b"".join(json.dumps({**GOOD, "text": f"text {number * 7919}"}).encode() + b"\n" for number in range(3000))
    data = gzip.compress(lines)
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(data[: int(len(data) * kept)])
    corpus = read_corpus([path], RULES)
    assert 0 < len(corpus.texts) < 3000
    assert corpus.report.bad[LineProblem.CUT_SHORT] == 1


def test_a_damaged_gzip_file_is_a_bad_line(tmp_path: Path) -> None:
    """Flipped bytes end the file with a report, not with a crash."""
    data = bytearray(gzip.compress(json.dumps(GOOD).encode() * 1000))
    data[len(data) // 2 :] = b"\x00" * (len(data) - len(data) // 2)
    path = tmp_path / "damaged.gz"
    path.write_bytes(bytes(data))
    with pytest.raises(UnusableCorpusError) as caught:
        read_corpus([path], RULES)
    assert caught.value.report.bad[LineProblem.CUT_SHORT] == 1


def test_an_overlong_line_is_skipped_to_its_end(
    write_lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line above the limit is one bad line, and the next one is read whole."""
    monkeypatch.setattr("training.lines.MAX_LINE_BYTES", 200)
    path = write_lines([{**GOOD, "text": "x" * 1000}, GOOD])
    corpus = read_corpus([path], RULES)
    assert corpus.texts == ("A title\nSome text",)
    assert corpus.report.bad == {LineProblem.TOO_LARGE: 1}


def test_a_line_of_exactly_the_limit_is_read(write_lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line feed does not count against the limit."""
    monkeypatch.setattr("training.lines.MAX_LINE_BYTES", len(json.dumps(GOOD)))
    assert len(read_corpus([write_lines([GOOD, {**GOOD, "text": "Other"}])], RULES).texts) == 2


def test_only_the_first_bad_lines_are_kept_and_all_are_counted(write_lines: Callable[..., Path]) -> None:
    """A file full of rubbish does not fill the memory."""
    report = read_corpus([write_lines([b"rubbish"] * 50 + [GOOD])], RULES).report
    assert len(report.first_bad) == SHOWN_BAD_LINES
    assert report.bad_lines == 50
    assert report.lines == 51


def test_too_many_bad_lines_are_an_error(write_lines: Callable[..., Path]) -> None:
    """Above the allowed share something is wrong with the files, and the message says how to go on."""
    path = write_lines([GOOD, b"rubbish"])
    with pytest.raises(UnusableCorpusError, match=r"1 of 2 lines are bad.*--max-bad-share"):
        read_corpus([path], CorpusRules(language="en", max_bad_share=0.4, min_documents=1))


def test_too_few_documents_are_an_error(write_lines: Callable[..., Path]) -> None:
    """An almost empty corpus is refused by number and language."""
    with pytest.raises(UnusableCorpusError, match=r"Only 1 usable documents of language 'en'.*10 are needed"):
        read_corpus([write_lines([GOOD])], CorpusRules(language="en"))


def test_an_empty_file_is_an_error(write_lines: Callable[..., Path]) -> None:
    """Nothing at all is not a corpus, whatever is allowed."""
    with pytest.raises(UnusableCorpusError, match="Only 0 usable"):
        read_corpus([write_lines([])], CorpusRules(language="en", min_documents=0))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(TrainingError, match=r"nowhere\.jsonl cannot be read"):
        read_corpus([tmp_path / "nowhere.jsonl"], RULES)


def test_duplicates_are_left_out_and_conflicts_counted(write_lines: Callable[..., Path]) -> None:
    """The first copy of a text stays; a copy with other labels is counted as a conflict too."""
    corpus = read_corpus([write_lines([GOOD, GOOD, {**GOOD, "labels": ["c"]}])], RULES)
    assert corpus.labels == (("a", "b"),)
    assert (corpus.report.duplicates, corpus.report.conflicting) == (2, 1)


def test_repeated_labels_count_once(write_lines: Callable[..., Path]) -> None:
    """A label that is named twice is one label, and that is said."""
    corpus = read_corpus([write_lines([{**GOOD, "labels": ["a", " a "]}])], RULES)
    assert corpus.labels == (("a",),)
    assert corpus.report.repeated_labels == 1


def test_the_order_of_lines_and_files_does_not_matter(write_lines: Callable[..., Path]) -> None:
    """The same documents give the same corpus and digest; another label gives another digest."""
    documents = [{**GOOD, "text": f"text {number}"} for number in range(5)]
    one = read_corpus([write_lines(documents)], RULES)
    halves = [write_lines(documents[3:], "a.jsonl"), write_lines(documents[:3], "b.jsonl")]
    two = read_corpus(halves, RULES)
    assert (one.texts, one.labels, one.digest) == (two.texts, two.labels, two.digest)
    documents[0] = {**documents[0], "labels": ["other"]}
    assert read_corpus([write_lines(documents)], RULES).digest != one.digest


def test_a_kept_duplicate_does_not_depend_on_the_order_alone_for_its_digest(write_lines: Callable[..., Path]) -> None:
    """Leaving a duplicate out gives the digest of the corpus without it."""
    once, twice = write_lines([GOOD], "once.jsonl"), write_lines([GOOD, GOOD], "twice.jsonl")
    assert read_corpus([once], RULES).digest == read_corpus([twice], RULES).digest


def test_progress_adds_up_to_the_size_of_the_files(write_lines: Callable[..., Path]) -> None:
    """The bytes reported are the bytes of the files, plain and compressed."""
    paths = [write_lines([GOOD] * 500, "a.jsonl"), write_lines([GOOD] * 500, "b.gz", compress=True)]
    steps: list[int] = []
    read_corpus(paths, RULES, steps.append)
    assert sum(steps) == sum(Path(path).stat().st_size for path in paths)
