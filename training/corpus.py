"""Labelled documents from JSON-lines files: what can be used is used, what cannot is reported and counted."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from schemas.document import Document
from training.errors import TrainingError
from training.lines import BadLine, Labelled, LineProblem, parse_line, read_lines

SHOWN_BAD_LINES = 20

__all__ = ["BadLine", "Corpus", "CorpusRules", "LineProblem", "ReadingReport", "read_corpus"]


@dataclass(frozen=True, slots=True)
class CorpusRules:
    """What a corpus must be to be worth training on.

    Attributes:
        language: normalised code; lines of another language are bad lines (lines of none are taken).
        skip_other_languages: lines of another language are left out without being bad.
        max_bad_share: share of bad lines, 0 to 1, above which something is wrong with the files.
        min_documents: how many usable documents there must be.
    """

    language: str
    skip_other_languages: bool = False
    max_bad_share: float = 0.1
    min_documents: int = 10


@dataclass(frozen=True, slots=True)
class ReadingReport:
    """What was met while reading.

    Attributes:
        files: how many were read.
        lines: lines that are not blank.
        first_bad: the first `SHOWN_BAD_LINES` bad lines.
        bad: number of bad lines by problem.
        other_language: lines left out because of `skip_other_languages`.
        duplicates: documents left out because an earlier one has the same title and text.
        conflicting: those of the duplicates whose labels differ from the copy that was kept.
        repeated_labels: documents that named a label twice.
    """

    files: int
    lines: int
    first_bad: tuple[BadLine, ...]
    bad: dict[LineProblem, int]
    other_language: int
    duplicates: int
    conflicting: int
    repeated_labels: int

    @property
    def bad_lines(self) -> int:
        """How many lines could not be used."""
        return sum(self.bad.values())


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents that can be trained on; the order does not depend on the order in the files.

    Attributes:
        texts: what is scored of each document (`Document.content`), n of them.
        labels: n sorted tuples without repeats, none of them empty.
        classes: all labels, sorted.
        digest: sha256 (hex) over texts and labels: equal corpora have equal digests.
        report: what was met while reading.
    """

    texts: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    digest: str
    report: ReadingReport

    @property
    def single_label(self) -> bool:
        """Whether every document has exactly one label."""
        return all(len(labels) == 1 for labels in self.labels)


class _Kept(NamedTuple):
    content_hash: bytes
    text: str
    labels: tuple[str, ...]


@dataclass(slots=True)
class _Reader:
    """Sorts lines into documents, duplicates and problems."""

    rules: CorpusRules
    kept: dict[bytes, _Kept] = field(default_factory=dict)
    first_bad: list[BadLine] = field(default_factory=list)
    bad: Counter[LineProblem] = field(default_factory=Counter)
    lines: int = 0
    other_language: int = 0
    duplicates: int = 0
    conflicting: int = 0
    repeated_labels: int = 0

    def take(self, path: Path, number: int, line: bytes | BadLine) -> None:
        self.lines += 1
        parsed = parse_line(line, path, number) if isinstance(line, bytes) else line
        if isinstance(parsed, BadLine):
            self._reject(parsed)
        elif self._is_ours(parsed.document, path, number):
            self._keep(parsed)

    def _is_ours(self, document: Document, path: Path, number: int) -> bool:
        found = document.language
        if found in (self.rules.language, "und"):
            return True
        if self.rules.skip_other_languages:
            self.other_language += 1
        else:
            detail = f"the language is {found}, not {self.rules.language}"
            self._reject(BadLine(str(path), number, LineProblem.OTHER_LANGUAGE, detail))
        return False

    def _keep(self, labelled: Labelled) -> None:
        labels = tuple(sorted(set(labelled.labels)))
        self.repeated_labels += len(labels) < len(labelled.labels)
        text = labelled.document.content
        key = hashlib.sha256(text.encode()).digest()
        earlier = self.kept.setdefault(key, _Kept(key, text, labels))
        if earlier.text is not text:
            self.duplicates += 1
            self.conflicting += earlier.labels != labels

    def _reject(self, bad: BadLine) -> None:
        self.bad[bad.problem] += 1
        if len(self.first_bad) < SHOWN_BAD_LINES:
            self.first_bad.append(bad)

    def report(self, files: int) -> ReadingReport:
        return ReadingReport(
            files,
            self.lines,
            tuple(self.first_bad),
            dict(self.bad),
            self.other_language,
            self.duplicates,
            self.conflicting,
            self.repeated_labels,
        )


def read_corpus(paths: Sequence[Path], rules: CorpusRules, advance: Callable[[int], None] | None = None) -> Corpus:
    """Read JSON-lines files, plain or gzip, into one corpus.

    Args:
        paths: the files; which of them are gzip is seen from their content.
        rules: what must hold.
        advance: called with the number of bytes of the files that were read since the last call.

    Raises:
        UnusableCorpusError: too many bad lines, too few documents; it carries the report.
        TrainingError: a file cannot be opened.
    """
    reader = _Reader(rules)
    for path, number, line in _all_lines(paths, advance or _ignore):
        reader.take(path, number, line)
    report = reader.report(len(paths))
    _require_usable(report, len(reader.kept), rules)
    # Sorted by content, so that neither files nor their order have a say in folds, weights or digest.
    documents = sorted(reader.kept.values())
    return _corpus(documents, report)


class UnusableCorpusError(TrainingError):
    """The files do not hold enough good documents; `report` says what was met."""

    def __init__(self, sentence: str, report: ReadingReport) -> None:
        super().__init__(sentence)
        self.report = report


def _all_lines(paths: Sequence[Path], advance: Callable[[int], None]) -> Iterator[tuple[Path, int, bytes | BadLine]]:
    for path in paths:
        for number, line in read_lines(path, advance):
            yield path, number, line


def _require_usable(report: ReadingReport, documents: int, rules: CorpusRules) -> None:
    if report.bad_lines > rules.max_bad_share * report.lines:
        raise UnusableCorpusError(
            f"{report.bad_lines} of {report.lines} lines are bad, more than the allowed share of "
            f"{rules.max_bad_share:g}. Correct them, or allow more with --max-bad-share. {_hint(report)}".rstrip(),
            report,
        )
    if documents < max(rules.min_documents, 1):
        raise UnusableCorpusError(
            f"Only {documents} usable documents of language {rules.language!r} in {report.files} files, and "
            f"{max(rules.min_documents, 1)} are needed. Add documents, or lower --min-documents.",
            report,
        )


def _hint(report: ReadingReport) -> str:
    if report.bad.get(LineProblem.OTHER_LANGUAGE, 0) > report.bad_lines / 2:
        return "Most are of another language: correct --lang, or leave them out with --skip-other-languages."
    return ""


def _corpus(documents: Sequence[_Kept], report: ReadingReport) -> Corpus:
    digest = hashlib.sha256()
    for document in documents:
        digest.update(orjson.dumps([document.text, document.labels]) + b"\n")
    return Corpus(
        texts=tuple(document.text for document in documents),
        labels=tuple(document.labels for document in documents),
        classes=tuple(sorted({label for document in documents for label in document.labels})),
        digest=digest.hexdigest(),
        report=report,
    )


def _ignore(_: int) -> None:
    pass
