"""The schema registry, through confluent-kafka's client: of what type a schema is, and the schema of our results."""

import logging
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from schemas.decoding import DecodeError, DecodeReason
from schemas.framing import NO_FRAME, ResultFrame, SchemaKey, frame_before, frame_in_header
from worker.clock import Clock
from worker.document_options import ResultFraming, SchemaRegistry
from worker.kafka.settings import SettingsError, read_properties
from worker.stream.deadline import Deadline
from worker.stream.errors import FatalError

log = structlog.get_logger(__name__)

_PATIENCE: Final = 30.0  # seconds that a batch waits for a registry that does not answer
_REQUEST_SECONDS: Final = 5.0
_PAUSE: Final = 1.0
_FORGET_UNKNOWN: Final = 60.0  # seconds until an id that the registry did not know is asked for again
_MOST_UNKNOWN: Final = 10_000
_NOT_FOUND: Final = 404
_TALKATIVE: Final = ("httpx", "httpx2")
# What a registry says of its own accord; another 404 comes from something that is none.
_NO_SCHEMA_CODES: Final = range(40400, 40500)

Answer = TypeVar("Answer")


class RegistryError(Exception):
    """The registry cannot be used. The text says what to do."""


class Client(Protocol):
    """What is used of confluent-kafka's client."""

    def get_schema(self, schema_id: int) -> Any:  # noqa: ANN401 - a Schema of the client
        """The schema of an id."""

    def get_schema_by_guid(self, guid: str) -> Any:  # noqa: ANN401 - as above
        """The schema of a GUID."""

    def get_subjects(self) -> list[str]:
        """All subjects."""

    def register_schema_full_response(self, subject_name: str, schema: Any) -> Any:  # noqa: ANN401 - as above
        """Register a schema, if it is not yet."""


class Registry:
    """Answers for one worker. What it was told once it never asks again; called by one thread at a time."""

    def __init__(self, client: Client, name: str, clock: Clock) -> None:
        """`name` is what messages call it."""
        self._client = client
        self._name = name
        self._clock = clock
        self._types: dict[SchemaKey, str | None] = {}
        self._unknown: dict[SchemaKey, float] = {}

    def schema_type(self, key: SchemaKey) -> str | None:
        """Of what type a schema is: JSON, PROTOBUF or AVRO; None when the registry does not know GUIDs.

        Raises:
            DecodeError: unknown_schema, the registry has none of that id.
            FatalError: it did not answer in time; a successor of this process asks again.
        """
        try:
            return self._types[key]
        except KeyError:
            pass
        until = self._unknown.get(key)
        if until is None or self._clock.monotonic() >= until:
            try:
                kind = self._types[key] = self._patiently(lambda: self._ask(key))
            except DecodeError:
                self._remember_unknown(key)
                raise
            return kind
        raise _unknown_schema()

    def check(self) -> None:
        """Find out at the start whether it answers.

        Raises:
            RegistryError: it does not.
        """
        self._once(self._client.get_subjects)

    def result_frame(self, topic: str, framing: ResultFraming) -> ResultFrame:
        """What frames the results that go to `topic`; their schema is registered as that of `topic`-value.

        Raises:
            RegistryError: it cannot be registered, or the registry gives schemas no GUID and one is asked for.
        """
        if framing is ResultFraming.NONE:
            return NO_FRAME
        registered = self._once(
            lambda: self._client.register_schema_full_response(f"{topic}-value", _classification_schema())
        )
        if framing is ResultFraming.REGISTRY:
            return frame_before(registered.schema_id)
        if registered.guid is None:
            raise RegistryError(
                f"The schema registry {self._name} gives schemas no GUID: take --result-framing registry."
            )
        return frame_in_header(UUID(registered.guid))

    def _ask(self, key: SchemaKey) -> str | None:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415 - an optional dependency

        try:
            if isinstance(key, UUID):
                return str(self._client.get_schema_by_guid(str(key)).schema_type)
            return str(self._client.get_schema(key).schema_type)
        except SchemaRegistryError as error:
            if error.http_status_code != _NOT_FOUND:
                raise
            if error.error_code in _NO_SCHEMA_CODES:
                raise _unknown_schema() from None
            if isinstance(key, UUID):
                return None
            raise

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        deadline = Deadline(self._clock, _PATIENCE)
        while True:
            try:
                return ask()
            except DecodeError:
                raise
            except Exception as error:
                if deadline.expired:
                    raise FatalError(f"{self._silent(error)} Nothing of this batch was committed.") from error
                log.warning("schema_registry_silent", registry=self._name, error=_told(error))
            self._clock.sleep(_PAUSE)

    def _once(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except Exception as error:
            raise RegistryError(
                f"{self._silent(error)} --schema-registry names it, --schema-registry-config its credentials."
            ) from error

    def _silent(self, error: Exception) -> str:
        return f"The schema registry {self._name} does not answer as one: {_told(error)}."

    def _remember_unknown(self, key: SchemaKey) -> None:
        if len(self._unknown) >= _MOST_UNKNOWN:
            self._unknown.clear()
        self._unknown[key] = self._clock.monotonic() + _FORGET_UNKNOWN


def open_registry(config: SchemaRegistry, clock: Clock) -> Registry | None:
    """The registry of the options; None without one.

    Raises:
        RegistryError: its client is not installed, or it does not answer.
        SettingsError: its properties file cannot be used.
    """
    if not config.schema_registry:
        return None
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise RegistryError(
            f"--schema-registry needs a package that is not there: {error}. pip install 'clf-worker[registry]'."
        ) from error

    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)  # they log every request, with the URL's password
    settings: dict[str, str | float] = {
        **read_properties(config.schema_registry_config),
        "url": config.schema_registry,
        "timeout": _REQUEST_SECONDS,
        "max.retries": 0,  # the attempts are made here, by our clock
    }
    try:
        client = SchemaRegistryClient.new_client(settings)
    except (TypeError, ValueError, OSError) as error:
        raise SettingsError(f"The schema registry's settings are not accepted: {error}.") from error
    registry = Registry(client, _without_credentials(config.schema_registry), clock)
    registry.check()
    return registry


def _classification_schema() -> Any:  # noqa: ANN401 - as in `Client`
    from confluent_kafka.schema_registry import Schema  # noqa: PLC0415 - an optional dependency

    return Schema(files("schemas").joinpath("classification.schema.json").read_text("utf-8"), schema_type="JSON")


def _unknown_schema() -> DecodeError:
    return DecodeError(DecodeReason.UNKNOWN_SCHEMA, "the schema registry has no schema of that id")


def _told(error: Exception) -> str:
    """The kind of an error and what it says, on one line; nothing in it comes from a document."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _without_credentials(urls: str) -> str:
    parts = [urlsplit(url) for url in urls.split(",")]
    return ",".join(part._replace(netloc=part.netloc.rpartition("@")[2]).geturl() for part in parts)
