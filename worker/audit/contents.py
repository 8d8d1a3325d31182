"""Whether an outcome is the right one: of its document's key and headers and, recomputed, of its model's very bytes."""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from models.model import Model
from models.store import StoreError
from schemas.classification import Classification, ModelStamp
from schemas.dead_letter import DeadLetter, Reason, Stage
from schemas.document import Document, DocumentError
from schemas.framing import strip_frame, without_schema_ids
from schemas.source import source_header
from worker.audit.findings import Finding, Report
from worker.audit.outcomes import Outcome
from worker.classify import Classifier
from worker.stream.processor import Read, result_headers
from worker.stream.records import Record

_BATCH = 256  # recomputed at once
_BATCH_BYTES = 16_000_000
_MODELS = 64  # kept open at a time
# Decided by what the audit does not know: the limit on sizes, the moment, the schema registry, past deaths.
_NOT_REPEATABLE = frozenset(
    {
        Reason.TOO_LARGE,
        Reason.SCORE_FAILED,
        Reason.KILLED_WORKER,
        Reason.UNKNOWN_SCHEMA,
        Reason.WRONG_SCHEMA,
        Reason.BAD_FRAME,
    }
)


class Bundles(Protocol):
    """The models by language and version; `models.store.Store` is one."""

    def load(self, lang: str, version: str) -> Model:
        """Open one.

        Raises:
            StoreError: it is not there, or is refused.
        """

    def versions(self, lang: str) -> list[str]:
        """The versions of a language."""


class _Sample(NamedTuple):
    record: Record
    document: Document
    outcome: Outcome
    published: Classification


class Contents:
    """Checks every outcome against its document, and recomputes a share of them."""

    def __init__(self, bundles: Bundles, share: float, report: Report, read: Read) -> None:
        """`share` from 0, none, to 1, all; which ones is a matter of their offsets alone. `read` is the worker's."""
        self._models = _Models(bundles)
        self._share = share
        self._report = report
        self._read = read
        self._samples: list[_Sample] = []
        self._bytes = 0

    def check(self, document: Record, outcome: Outcome) -> None:
        """Compare; what is to be recomputed waits for `flush`, or for enough of its kind."""
        wrong = _mismatch(document, outcome)
        if wrong is not None:
            self._found(Finding.UNEXPECTED, outcome, wrong)
        elif _is_sampled(document.offset, self._share):
            self._recompute(document, outcome)

    def flush(self) -> None:
        """Recompute what waits."""
        by_model: dict[ModelStamp | None, list[_Sample]] = defaultdict(list)
        for sample in self._samples:
            by_model[sample.published.model].append(sample)
        self._samples, self._bytes = [], 0
        for stamp, samples in by_model.items():
            self._compare(stamp, samples)

    def _recompute(self, record: Record, outcome: Outcome) -> None:
        if outcome.content is None:
            return
        self._report.of(outcome.source.partition).recomputed += 1
        try:
            document = self._read(record.value or b"", record.headers)
        except DocumentError as error:
            self._undecodable(outcome, Reason(error.reason))
            return
        if isinstance(outcome.content, DeadLetter):
            self._decodable(outcome, outcome.content)
            return
        self._samples.append(_Sample(record, document, outcome, outcome.content))
        self._bytes += len(record.value or b"")
        if len(self._samples) >= _BATCH or self._bytes >= _BATCH_BYTES:
            self.flush()

    def _undecodable(self, outcome: Outcome, reason: Reason) -> None:
        if not isinstance(outcome.content, DeadLetter):
            self._found(Finding.DIFFERENT, outcome, f"the document cannot be decoded ({reason}), yet it has a result")
        elif outcome.content.reason not in {reason, *_NOT_REPEATABLE}:
            self._found(Finding.DIFFERENT, outcome, f"put aside for {outcome.content.reason}, recomputed: {reason}")

    def _decodable(self, outcome: Outcome, letter: DeadLetter) -> None:
        if letter.stage is Stage.DECODE and letter.reason not in _NOT_REPEATABLE:
            self._found(Finding.DIFFERENT, outcome, f"put aside for {letter.reason}, yet the document can be decoded")

    # --- results ------------------------------------------------------------------------------------------------

    def _compare(self, stamp: ModelStamp | None, samples: Sequence[_Sample]) -> None:
        try:
            model = None if stamp is None else self._models.load(stamp.lang, stamp.version)
        except StoreError as error:
            for sample in samples:
                self._found(Finding.UNKNOWN_MODEL, sample.outcome, str(error))
            return
        if stamp is not None and model is not None and stamp.digest != model.digest:
            detail = (
                f"stamped {stamp.lang}/{stamp.version} with digest {stamp.digest}; in the store it is {model.digest}"
            )
            for sample in samples:
                self._found(Finding.OTHER_MODEL, sample.outcome, detail)
            return
        for sample, expected in zip(samples, _classified(model, samples), strict=True):
            if expected.to_json() != strip_frame(sample.outcome.record.value or b""):
                self._differs(sample, expected)

    def _differs(self, sample: _Sample, expected: Classification) -> None:
        fields = [
            name
            for name, ours, theirs in zip(Classification._fields, expected, sample.published, strict=True)
            if ours != theirs
        ]
        other = self._maker(sample)
        if other is not None:
            self._found(Finding.OTHER_MODEL, sample.outcome, f"this is what version {other} gives")
        else:
            what = ", ".join(fields) or "its bytes only"
            self._found(Finding.DIFFERENT, sample.outcome, f"recomputed, it differs in: {what}")

    def _maker(self, sample: _Sample) -> str | None:
        """The version that gives what was published, other than the stamped one."""
        stamp = sample.published.model
        for version in [] if stamp is None else self._models.versions(stamp.lang):
            if stamp is not None and version != stamp.version:
                try:
                    model = self._models.load(stamp.lang, version)
                except StoreError:
                    continue
                [given] = _classified(model, [sample])
                if given._replace(model=stamp) == sample.published:
                    return version
        return None

    def _found(self, finding: Finding, outcome: Outcome, detail: str) -> None:
        record = outcome.record
        self._report.found(outcome.source.partition, finding, record.source, record.offset, detail)


class _Models:
    """The last models used stay open."""

    def __init__(self, bundles: Bundles) -> None:
        self._bundles = bundles
        self._open: OrderedDict[tuple[str, str], Model] = OrderedDict()

    def load(self, lang: str, version: str) -> Model:
        """Raises StoreError."""
        key = (lang, version)
        if key not in self._open:
            self._open[key] = self._bundles.load(lang, version)
        self._open.move_to_end(key)
        if len(self._open) > _MODELS:
            self._open.popitem(last=False)
        return self._open[key]

    def versions(self, lang: str) -> list[str]:
        """Those of a language, latest first; none when there is no such language."""
        try:
            return self._bundles.versions(lang)[::-1]
        except StoreError:
            return []


def _classified(model: Model | None, samples: Sequence[_Sample]) -> list[Classification]:
    classifier = Classifier({} if model is None else {model.lang: model})
    return classifier.classify([sample.document for sample in samples], [sample.outcome.source for sample in samples])


def _is_sampled(offset: int, share: float) -> bool:
    """Every `1/share`-th offset on average, spread by Knuth's multiplicative hash so that no period escapes."""
    return (offset * 2_654_435_761 % 2**32) < share * 2**32


def _mismatch(document: Record, outcome: Outcome) -> str | None:
    """What an outcome has that is not its document's; None when all is right."""
    record, content = outcome.record, outcome.content
    if isinstance(content, DeadLetter):
        same = (content.key, content.value, content.headers) == (document.key, document.value, document.headers)
        return None if same else "its key, value or headers are not those of its document"
    if (content is None) is not (document.value is None):
        return "a tombstone for a document" if content is None else "a result for a tombstone"
    if record.key != (document.key if content is None else content.url.encode()):
        return "its key is not the url"
    expected = result_headers(document.headers)
    found = without_schema_ids(record.headers)  # a result has its own, if any
    if found != (expected if content is not None else (*expected, source_header(outcome.source))):
        return "its headers are not those of its document"
    return None
