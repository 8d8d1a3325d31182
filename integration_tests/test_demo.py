"""`clf demo`, as `make demo` runs it: with a broker of its own, in an empty folder."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from integration_tests.system import CLF, THOROUGH, wait_until

pytestmark = pytest.mark.broker


def environment() -> dict[str, str]:
    """Ours, without a cluster named: the demo starts its own broker."""
    return {name: value for name, value in os.environ.items() if name != "CLF_BOOTSTRAP_SERVERS"}


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in `folder` or are told of it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(process.info["cmdline"] or [])
        if str(folder) in words or process.info["cwd"] == str(folder):
            found.append(words)
    return found


def test_it_ends_by_itself_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Results, throughput and addresses are printed; then broker and worker are gone, and so is the broker's data."""
    done = subprocess.run(
        [*CLF, "demo", "--documents", "1500"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for expected in ("Apache Kafka 4", "Trained a model for spa", "a second", "/status", "/metrics", "nothing is left"):
        assert expected in done.stdout
    assert processes_in(tmp_path) == []
    assert not (tmp_path / ".clf" / "kafka").exists()


@THOROUGH
def test_ctrl_c_stops_what_it_kept(tmp_path: Path) -> None:
    """`--keep` stays up until Ctrl-C, which takes everything down in order and is no error."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        demo = subprocess.Popen(
            [*CLF, "demo", "--documents", "500", "--keep"],
            cwd=tmp_path,
            env=environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: "Ctrl-C here stops everything" in output.read_text(), "the demo stays up", 100)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0, output.read_text()
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait()
    assert processes_in(tmp_path) == []
