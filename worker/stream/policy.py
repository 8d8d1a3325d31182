"""What happens to a record that a stage cannot handle."""

from collections.abc import Mapping
from enum import StrEnum

from schemas.dead_letter import Stage


class OnFailure(StrEnum):
    """The policy of one stage. Publishing has none: it always fails, since its outcome concerns the whole batch."""

    DEAD_LETTER = "dead-letter"
    """Publish the record to the dead-letter topic in the same transaction, and go on."""

    FAIL = "fail"
    """Stop the worker (exit 4) with nothing of the batch committed."""


Policy = Mapping[Stage, OnFailure]
