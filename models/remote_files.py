"""The files of a store behind a URL, through fsspec: every request ends in time, and every failure is one of ours.

Imported only where there is a URL: fsspec takes its time.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import get_filesystem_class
from fsspec.utils import get_protocol

from models.store import StoreError

Answer = TypeVar("Answer")

CHUNK_BYTES: Final = 1024 * 1024
# How long a store may take for something small, and for the next chunk of something large (some fetch 50 MB at once).
_SMALL_SECONDS: Final = 10.0
_CHUNK_SECONDS: Final = 120.0
_PASSWORD: Final = re.compile(r"//[^/@]*@")
_NOT_THERE: Final = {404, 410}
# Elsewhere there are none, and asking for one may create a bucket.
_WITH_DIRECTORIES: Final = {"sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs"}


class _Connection:
    """A file system, some of which connect when they are made, and the root in it."""

    def __init__(self, url: str) -> None:
        # Not one that was made before: its connection may be what has failed.
        filesystem, root = url_to_fs(url, skip_instance_cache=True)
        self.files: Any = filesystem
        self._root = str(root).rstrip("/")
        kinds = {filesystem.protocol} if isinstance(filesystem.protocol, str) else set(filesystem.protocol)
        self.is_local = isinstance(filesystem, LocalFileSystem)
        self.has_directories = self.is_local or bool(kinds & _WITH_DIRECTORIES)
        # Not every web server can send a part of a file.
        self.reading: dict[str, object] = {"block_size": 0} if "http" in kinds else {}

    def path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


class UnreachableError(StoreError):
    """The store does not answer, or not as a store would; it may be back later."""


class RemoteFiles:
    """The files of a store, by their names below its root, such as "en/v1/manifest.json".

    Credentials are found where fsspec's file systems look for them: the environment, or the cloud's own files.

    Args:
        url: the root, such as "s3://bucket/models".

    Attributes:
        url: the same as people may see it, without a password.

    Raises:
        StoreError: no file system of that kind is known or installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _PASSWORD.sub("//", url.rstrip("/"))
        self._whole_url = url
        self._connection: _Connection | None = None
        try:
            get_filesystem_class(get_protocol(url))
        except (ImportError, ValueError) as error:
            raise StoreError(
                f"The store {self.url} cannot be used: {error}. Most kinds of stores need a package of their own "
                "beside clf, such as s3fs, gcsfs or aiohttp: install the one that is named."
            ) from error

    def names(self, directory: str = "") -> list[str]:
        """What is in a directory, sorted; nothing when there is no such directory.

        Raises:
            UnreachableError: the store does not answer, or there is not even its root.
        """
        found = self._ask(lambda: self._list(directory))
        if found is None:
            self._require_root()
            return []
        return found

    def read(self, name: str, limit: int) -> bytes | None:
        """A small file; None when there is none.

        Raises:
            UnreachableError: the store does not answer, or there is not even its root.
            StoreError: the file has more than `limit` bytes.
        """
        data = self.find(name, limit)
        if data is None:
            self._require_root()
        return data

    def find(self, name: str, limit: int) -> bytes | None:
        """As `read`, but nothing is there yet in a store that is only being made."""
        data = self._ask(lambda: self._read(name, limit))
        if data is not None and len(data) > limit:
            raise StoreError(f"{self.url}/{name} is larger than {limit} bytes, which no store needs.")
        return data

    def chunks(self, name: str) -> Iterator[bytes] | None:
        """A large file bit by bit; None when there is none.

        Raises:
            UnreachableError: the store does not answer; also from within the iterator.
        """
        file = self._ask(lambda: self._open(name), _CHUNK_SECONDS)
        return None if file is None else self._chunks(file)

    def has(self, name: str) -> bool:
        """Whether there is such a file.

        Raises:
            UnreachableError: the store does not answer.
        """
        return self._ask(lambda: self._info(name)) is not None

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, in place of one that may be there.

        It appears whole at once in object stores, and on local disks (file://); elsewhere readers may meet half of it.

        Raises:
            StoreError: it could not be written.
        """
        self._write(name, lambda connection, path: connection.files.pipe_file(path, data))

    def upload(self, source: Path, name: str) -> None:
        """Write a large file.

        Raises:
            StoreError: it could not be written.
        """
        self._write(name, lambda connection, path: connection.files.put_file(str(source), path))

    def _chunks(self, file: Any) -> Iterator[bytes]:  # noqa: ANN401 - each file system has file objects of its own
        with file:
            while chunk := self._ask(lambda: bytes(file.read(CHUNK_BYTES)), _CHUNK_SECONDS):
                yield chunk

    def _connected(self) -> _Connection:
        if self._connection is None:
            self._connection = _Connection(self._whole_url)
        self._connection.files.invalidate_cache()  # or what changed meanwhile would look as it was
        return self._connection

    def _list(self, directory: str) -> list[str]:
        connection = self._connected()
        paths = connection.files.ls(connection.path(directory), detail=False)
        return sorted({str(path).rstrip("/").rpartition("/")[2] for path in paths})

    def _open(self, name: str) -> Any:  # noqa: ANN401 - as above
        connection = self._connected()
        return connection.files.open(connection.path(name), "rb", **connection.reading)

    def _read(self, name: str, limit: int) -> bytes:
        data = b""
        with self._open(name) as file:
            while len(data) <= limit and (more := file.read(limit + 1 - len(data))):  # some give less than is asked for
                data += more
        return data

    def _info(self, name: str) -> object:
        connection = self._connected()
        return connection.files.info(connection.path(name))

    def _require_root(self) -> None:
        """What is missing in a store whose root is missing as well is not missing: the store is away."""
        if self._ask(lambda: self._list("")) is None:
            raise UnreachableError(f"There is no store at {self.url}.")

    def _ask(self, question: Callable[[], Answer], seconds: float | None = None) -> Answer | None:
        """The answer in time; None when what is asked for does not exist."""
        try:
            return _in_time(question, seconds or _SMALL_SECONDS)
        except Exception as error:  # each file system has errors of its own
            if _says_missing(error):
                return None
            self._connection = None
            raise UnreachableError(f"The store {self.url} cannot be reached: {_told(error)}.") from error

    def _write(self, name: str, write: Callable[[_Connection, str], object]) -> None:
        try:
            connection = self._connected()
            path = connection.path(name)
            directory, _, last = path.rpartition("/")
            if connection.has_directories:
                connection.files.makedirs(directory, exist_ok=True)
            if connection.is_local:
                temporary = f"{directory}/.{last}.{secrets.token_hex(6)}.tmp"
                write(connection, temporary)
                connection.files.mv(temporary, path)
            else:
                write(connection, path)
        except Exception as error:  # each file system has errors of its own
            self._connection = None
            raise StoreError(
                f"{self.url}/{name} could not be written: {_told(error)}. Check that this store can be written to, and "
                "with these credentials."
            ) from error


def _in_time(question: Callable[[], Answer], seconds: float) -> Answer:
    """The answer, or a TimeoutError: of file systems that wait for a network, some wait for minutes.

    The question is asked on a thread that nobody waits for any longer than that.
    """
    outcome: SimpleQueue[tuple[Answer | None, Exception | None]] = SimpleQueue()

    def ask() -> None:
        try:
            outcome.put((question(), None))
        except Exception as error:  # noqa: BLE001 - it is raised again where the answer is waited for
            outcome.put((None, error))

    Thread(target=ask, name="model-store", daemon=True).start()
    try:
        answer, error = outcome.get(timeout=seconds)
    except Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return answer  # type: ignore[return-value] # without an error this is what was asked for


def _says_missing(error: Exception) -> bool:
    """Whether an error is the store's word that something does not exist; HTTP's calls every failure of a HEAD so."""
    if isinstance(error, NotADirectoryError):
        return True
    if not isinstance(error, FileNotFoundError):
        return False
    cause = error.__cause__
    if (status := getattr(cause, "status", None)) is not None:
        return status in _NOT_THERE
    return isinstance(cause, FileNotFoundError) or not isinstance(cause, OSError)


def _told(error: Exception) -> str:
    """An error as part of a sentence: some have a name only, and HTTP's hide what came from the server."""
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    text = _PASSWORD.sub("//", " ".join(str(error).split()).rstrip("."))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
