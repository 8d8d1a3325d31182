"""What can go wrong with the broker, by what must be done about it.

Client errors are mapped to these once, in `worker.kafka.errors`; nothing above ever looks at an error code.
"""


class StreamError(Exception):
    """The base of every error of the stream. The text is a sentence for the operator."""


class RetriableError(StreamError):
    """Nothing happened yet: the same call may be made again."""


class AbortableError(StreamError):
    """The transaction cannot be committed: abort it, then run its whole batch again."""


class FencedError(StreamError):
    """Another process took over this worker's slot. Leave at once, touch nothing."""


class FatalError(StreamError):
    """The outcome is unknown or the client is unusable: exit, and start anew under the same slot."""


class DeniedError(FatalError):
    """The cluster does not let this worker do what it must: a person must grant the right that the text names."""


class BreakerOpenError(FatalError):
    """Too large a share of the documents ended as dead letters: a person must look."""
