"""Dead letters for people and for scripts. Their bytes are shown escaped: they are hostile until proven otherwise."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from rich.table import Table
from rich.text import Text

from schemas.classification import Source
from schemas.dead_letter import DeadLetter, Reason, Stage
from worker.commands.dead_letter_selection import Entry
from worker.commands.documents import url_of
from worker.commands.output import console, counted, printable, printable_bytes, reader_may_leave
from worker.stream.records import Record

FOREIGN = "not a dead letter"
_KEY_CHARS, _DETAIL_CHARS, _VALUE_CHARS = 60, 100, 4000
_PARSED_BYTES = 2**20


class Summary(NamedTuple):
    """One row of the list: all as text, and without the value, so that many can be kept."""

    where: str
    when: str
    reason: str
    stage: str
    source: str
    tried: str
    key: str
    detail: str


def summary(entry: Entry) -> Summary:
    """The row of one entry."""
    record, letter = entry
    known = (str(entry.position), timestamp(record.timestamp_ms))
    key = _key(record)
    if letter is None:
        return Summary(*known, FOREIGN, "-", "-", "-", key, "It has not the headers that clf writes.")
    detail = printable(letter.detail, _DETAIL_CHARS)
    return Summary(*known, letter.reason, letter.stage, source_of(letter), str(letter.attempts), key, detail)


def _key(record: Record) -> str:
    """The key, or the url in the value of a record without one."""
    url = url_of(record.value) if record.key is None and record.value and len(record.value) <= _PARSED_BYTES else None
    return printable_bytes(record.key, _KEY_CHARS) if url is None else printable(url, _KEY_CHARS)


def source_of(letter: DeadLetter) -> str:
    """Where the record was read, as topic/partition/offset."""
    return printable(f"{letter.source.topic}/{letter.source.partition}/{letter.source.offset}", 120)


def show_table(rows: Iterable[Summary], counts: Counter[str]) -> None:
    """Print the list, and how many there are per reason."""
    table = Table(*Summary._fields, box=None, pad_edge=False)
    for column in table.columns[:4]:
        column.no_wrap = True
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    out = console()
    with reader_may_leave():
        if counts:
            out.print(table)
            out.print()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        out.print(Text(f"{counted(counts.total(), 'dead letter')}{': ' if reasons else ''}{reasons}."))
        out.file.flush()


def timestamp(milliseconds: int) -> str:
    """The time of a record in UTC, a dash when it has none."""
    if milliseconds <= 0:
        return "-"
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError):
        return f"{milliseconds} ms"


def entry_json(entry: Entry, *, with_value: bool) -> bytes:
    """One entry as a JSON object: the dead letter's own form, where it stands and when it was written.

    Args:
        entry: A dead letter, or a record that is none: its reason is null.
        with_value: False puts only the value's size, "value_bytes", which suits a list.
    """
    record = entry.record
    size = {} if with_value else {"value_bytes": None if record.value is None else len(record.value)}
    where = {
        "partition": record.source.partition,
        "offset": record.offset,
        "timestamp": timestamp(record.timestamp_ms).replace(" ", "T"),
    }
    return orjson.dumps(where | _letter_json(entry, with_value=with_value) | size)


def _letter_json(entry: Entry, *, with_value: bool) -> dict[str, Any]:
    letter = entry.letter or _stand_in(entry.record)
    fields: dict[str, Any] = orjson.loads((letter if with_value else replace(letter, value=None)).to_json())
    if not with_value:
        del fields["value"], fields["headers"]
    if entry.letter is None:
        fields |= dict.fromkeys(("stage", "reason", "detail", "source", "attempts"))
    return fields


def _stand_in(record: Record) -> DeadLetter:
    """Carries key, value and headers of a record that is no dead letter through the encoding."""
    nowhere = Source(record.source.topic, record.source.partition, record.offset)
    return DeadLetter(record.key, record.value, record.headers, Stage.DECODE, Reason.NOT_JSON, "", nowhere)


def entry_text(entry: Entry) -> str:
    """One entry in full for a terminal; a long value is cut, and says so."""
    record, letter = entry
    facts = [
        ("dead letter", f"{record.source.topic}/{record.source.partition}/{record.offset}"),
        ("written", timestamp(record.timestamp_ms)),
    ]
    if letter is None:
        facts.append(("reason", f"{FOREIGN}: it has not the headers that clf writes"))
    else:
        facts += [("source", source_of(letter)), ("reason", str(letter.reason)), ("detail", printable(letter.detail))]
        facts += [("stage", str(letter.stage)), ("attempts", str(letter.attempts))]
    facts.append(("key", printable_bytes(record.key, _VALUE_CHARS)))
    headers = record.headers if letter is None else letter.headers
    facts += [("header", f"{printable(name)}: {printable_bytes(value, _VALUE_CHARS)}") for name, value in headers]
    facts.append(("value", _value_text(record.value)))
    return "".join(f"{name:<12} {text}\n" for name, text in facts)


def _value_text(value: bytes | None) -> str:
    if value is None:
        return "null"
    shown = printable_bytes(value, _VALUE_CHARS)
    more = "\n(shortened; --value writes all of it)" if shown.endswith("…") else ""
    return f"{counted(len(value), 'byte')}\n{shown}{more}"
