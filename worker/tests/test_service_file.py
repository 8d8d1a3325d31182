"""`service.json`: the whole file or none."""

import os
import stat
import threading
from pathlib import Path

import orjson
import pytest

from worker.serve.service_file import remove_service_file, write_service_file


def test_it_tells_the_ports(tmp_path: Path) -> None:
    """It names our process and every service's address."""
    path = tmp_path / "service.json"
    write_service_file(path, {"clf-health": "127.0.0.1:9464"})
    assert orjson.loads(path.read_bytes()) == {"pid": os.getpid(), "services": {"clf-health": "127.0.0.1:9464"}}


def test_others_may_read_it(tmp_path: Path) -> None:
    """Whoever watches the process may run as another user."""
    path = tmp_path / "service.json"
    write_service_file(path, {})
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_readers_never_see_half_of_it(tmp_path: Path) -> None:
    """While it is rewritten again and again, every read gives one whole version."""
    path = tmp_path / "service.json"
    versions = [{"a": f"{n}:{n}" * 2000} for n in range(2)]
    write_service_file(path, versions[0])
    stop = threading.Event()

    def rewrite() -> None:
        for number in range(100):
            write_service_file(path, versions[number % 2])
        stop.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = 0
    while not stop.is_set():
        assert orjson.loads(path.read_bytes())["services"] in versions
        seen += 1
    writer.join()
    assert seen > 10


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """When the file cannot be put in place, nothing is left behind but what stood there before."""
    path = tmp_path / "service.json"
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        write_service_file(path, {})
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory(tmp_path: Path) -> None:
    """It is an error of the system, for the caller to explain."""
    with pytest.raises(FileNotFoundError):
        write_service_file(tmp_path / "absent" / "service.json", {})


def test_it_goes_with_its_process_and_no_other(tmp_path: Path) -> None:
    """Our own file is removed; a successor's, a stranger's and a missing one are left alone."""
    path = tmp_path / "service.json"
    write_service_file(path, {})
    remove_service_file(path)
    assert not path.exists()
    remove_service_file(path)
    for foreign in (b'{"pid": 1, "services": {}}', b"[]", b"half"):
        path.write_bytes(foreign)
        remove_service_file(path)
        assert path.read_bytes() == foreign
