"""librdkafka's serialised group metadata, of which two facts are read: the group and its generation.

It is a magic, the generation as a native 32-bit integer, and the group's name, which ends with a zero byte.
"""

import sys

from worker.stream.errors import FatalError

_MAGIC = b"CGMDv2:"
_NAME = len(_MAGIC) + 4


def generation(metadata: bytes) -> int:
    """The generation; negative while the member has none."""
    _check(metadata)
    return int.from_bytes(metadata[len(_MAGIC) : _NAME], sys.byteorder, signed=True)


def group(metadata: bytes) -> str:
    """The group's name."""
    _check(metadata)
    return metadata[_NAME:].partition(b"\0")[0].decode()


def _check(metadata: bytes) -> None:
    if not metadata.startswith(_MAGIC):
        raise FatalError("This librdkafka writes group metadata in an unknown form; install the pinned version.")
