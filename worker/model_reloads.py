"""New active versions are taken while others serve: looked for, verified, warmed, and swapped in.

All that an operator does is `clf models activate`, which replaces one small file per language. Those files are read
every few seconds, on a thread of its own; whatever is wrong with what they name, what serves goes on serving.
"""

import os
import threading
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import structlog

from models.model import Model
from models.store import Store, StoreError
from worker.clock import Clock
from worker.config import Reload, Scoring
from worker.live_models import LiveModels
from worker.memory import Memory
from worker.serving_models import make_ready

log = structlog.get_logger(__name__)

# What was refused is tried again when something of it changes, and after so long anyway: a disk may recover unseen.
AGAIN_SECONDS: Final = 60.0
# What loading takes beside the files.
MARGIN_BYTES: Final = 64 * 2**20
_MIB: Final = 2**20
_CLOSE_SECONDS: Final = 10.0
_GONE: Final = "gone"
_UNKNOWN: Final = "?"  # no version has this name
_NO_MEMORY: Final = "not enough memory"


class ReloadOutcome(StrEnum):
    """What became of a new active version."""

    SWAPPED = "swapped"
    REFUSED = "refused"


class ReloadBooks(Protocol):
    """Who is told; the metrics implement it."""

    def serving(self, models: Iterable[Model]) -> None:
        """These models are served from now on."""

    def reloaded(self, lang: str, outcome: ReloadOutcome) -> None:
        """An active version of `lang` was swapped in, or refused."""

    def stale(self, lang: str, *, is_so: bool) -> None:
        """Another version of `lang` is active in the store than the one that serves, or not any more."""

    def store_gone(self, *, is_so: bool) -> None:
        """The store cannot be read, so that nobody knows what is active; or it can be read again."""


class _NotEnoughMemoryError(Exception):
    """The bundle would not fit beside the one that serves. The text has the numbers."""


class _Told(NamedTuple):
    """What the log says of a language already, so that it says it once, and when to look again all the same."""

    state: object
    again: float


class ModelReloads:
    """Watches a store, and swaps what becomes active there into `live`."""

    def __init__(self, store: Store, live: LiveModels, memory: Memory, books: ReloadBooks, clock: Clock) -> None:
        self._store = store
        self._live = live
        self._memory = memory
        self._books = books
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self._store_problem: str | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, seconds: float) -> None:
        """Look every `seconds`, on a thread of its own."""
        self._thread = threading.Thread(target=self._repeat, args=(seconds,), name="model-reloads", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)

    def look(self) -> None:
        """Compare the store with what serves, once, and take what is new."""
        for lang in self._languages():
            if not self._stopping.is_set():
                active = self._look_at(lang)
                self._books.stale(lang, is_so=active is not None and active != self._serving(lang))

    def _repeat(self, seconds: float) -> None:
        while not self._stopping.wait(seconds):
            self.look()

    def _languages(self) -> list[str]:
        """Those that serve, and those that have an active version; none when the store cannot be read."""
        try:
            found, problem = self._store.activated(), None
        except StoreError as error:
            found, problem = [], str(error)
        if problem is not None and problem != self._store_problem:
            log.warning("model_store_gone", reason=problem, consequence="The models that serve go on serving.")
        elif problem is None and self._store_problem is not None:
            log.info("model_store_back")
        self._store_problem = problem
        self._books.store_gone(is_so=problem is not None)
        return [] if problem else sorted({*found, *self._live.models()})

    def _look_at(self, lang: str) -> str | None:
        """Take the version that is active, if it is another one; returns its name, None when there is none."""
        try:
            version = self._store.active(lang)
        except StoreError as error:
            self._refuse(lang, str(error), str(error))
            return _UNKNOWN
        serving = self._serving(lang)
        if version is None:
            self._tell_gone(lang, serving)
        elif version == serving:
            self._told.pop(lang, None)
        else:
            self._take(lang, version)
        return version

    def _serving(self, lang: str) -> str | None:
        model = self._live.models().get(lang)
        return None if model is None else model.version

    def _take(self, lang: str, version: str) -> None:
        """Load it beside the one that serves, and swap, unless it was refused and nothing has changed since."""
        state = (version, _fingerprint(self._store.root / lang / version))
        told = self._told.get(lang)
        if told is not None and told.state == state and self._clock.monotonic() < told.again:
            return
        try:
            self._require_memory(lang, version)
            model = self._store.load(lang, version)
            make_ready(model)
        except _NotEnoughMemoryError as error:
            self._refuse(lang, (version, _NO_MEMORY), str(error))  # never equal to `state`: tried each time
        except StoreError as error:
            self._refuse(lang, state, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a bundle does to its loader, the old one serves on
            self._refuse(lang, state, f"Loading {version} raised {type(error).__name__}.")
        else:
            self._swap_in(model)

    def _swap_in(self, model: Model) -> None:
        before = self._serving(model.lang)
        self._live.swap_in(model)
        self._told.pop(model.lang, None)
        self._books.serving(self._live.models().values())
        self._books.reloaded(model.lang, ReloadOutcome.SWAPPED)
        log.info("model_swapped", lang=model.lang, version=model.version, digest=model.digest, before=before)

    def _require_memory(self, lang: str, version: str) -> None:
        available = self._memory.available()
        size = sum(entry.size for entry in self._store.manifest(lang, version).files.values())
        if available is not None and available < size + MARGIN_BYTES:
            raise _NotEnoughMemoryError(
                f"There is not enough memory for {lang} {version} beside what serves: its files have "
                f"{size / _MIB:.0f} MiB, with a margin of {MARGIN_BYTES // _MIB} MiB, and {available / _MIB:.0f} MiB "
                "are available. It is taken as soon as there is enough."
            )

    # --- telling, once per state -----------------------------------------------------------------------------

    def _refuse(self, lang: str, state: object, reason: str) -> None:
        if self._is_new(lang, state):
            self._books.reloaded(lang, ReloadOutcome.REFUSED)
            serving = self._serving(lang)
            log.error("model_refused", lang=lang, reason=reason, serving=serving or "none")

    def _tell_gone(self, lang: str, serving: str | None) -> None:
        if serving is not None and self._is_new(lang, _GONE):
            log.warning(
                "active_version_gone",
                lang=lang,
                serving=serving,
                consequence="The model goes on serving until another version is activated, or this process ends.",
            )

    def _is_new(self, lang: str, state: object) -> bool:
        told = self._told.get(lang)
        self._told[lang] = _Told(state, self._clock.monotonic() + AGAIN_SECONDS)
        return told is None or told.state != state


def start_reloads(scoring: Scoring, reload: Reload, live: LiveModels, books: ReloadBooks, clock: Clock) -> ModelReloads:
    """Those of a process, already looking, unless its options say that there is nothing to look for."""
    reloads = ModelReloads(live.store, live, Memory(), books, clock)
    if scoring.scoring and reload.reload_interval:
        reloads.start(reload.reload_interval)
    return reloads


def _fingerprint(bundle: Path) -> object:
    """Differs when a file of the bundle was replaced, written to, added, removed or given other permissions."""
    try:
        with os.scandir(bundle) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError as error:
        return str(error)
    return frozenset((name, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found)
