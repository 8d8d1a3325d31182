"""Which Kafka record a document was read from."""

import re
from typing import NamedTuple

from schemas.decoding import MAX_INT32, MAX_INT64, read_integer, read_string

SOURCE_HEADER = "clf-source"
"""Names the document where the value cannot: of a dead letter, and of a tombstone among the results."""

_NAME = re.compile(r"(?s)(.*)/([0-9]{1,10})/([0-9]{1,19})")


class Source(NamedTuple):
    """A record's place. Partitions are int32 and offsets int64, both from 0."""

    topic: str
    partition: int
    offset: int

    def is_valid(self) -> bool:
        """Tell whether partition and offset are within their ranges."""
        return 0 <= self.partition <= MAX_INT32 and 0 <= self.offset <= MAX_INT64


def read_source(fields: dict[str, object] | None) -> Source | None:
    """Read the JSON object that names a record; null stays None.

    Raises:
        DecodeError: wrong_type.
    """
    if fields is None:
        return None
    return Source(
        read_string(fields, "topic", "source."),
        read_integer(fields, "partition", MAX_INT32, "source."),
        read_integer(fields, "offset", MAX_INT64, "source."),
    )


def source_name(source: Source) -> str:
    """A document's place as that header has it: topic/partition/offset."""
    return "/".join(map(str, source))


def source_header(source: Source) -> tuple[str, bytes]:
    """That header."""
    return SOURCE_HEADER, source_name(source).encode("utf-8", "replace")


def parse_source(text: str) -> Source | None:
    """Read the value of that header back; None when it names no record."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    source = Source(match[1], int(match[2]), int(match[3]))
    return source if source.is_valid() else None
