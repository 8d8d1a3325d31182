"""Which Kafka record a document was read from."""

from typing import NamedTuple

from schemas.decoding import MAX_INT32, MAX_INT64, read_integer, read_string


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
