"""Operators' programs from Debian's packages, for tests: fetched and unpacked into .clf/tools, installed nowhere."""

import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from worker.clock import SystemClock
from worker.kafka.local_base import Say, locked, silent

TOOLS = Path(__file__).parent.parent / ".clf" / "tools"
# Program -> the package that has it.
PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
# Debian's Alertmanager reads its templates from where an installation has them. The other path is as long, so that
# nothing else in the program moves, and leads there when it is started in the package's usr/.
INSTALLED, UNPACKED = b"/usr/share/prometheus/alertmanager", b".////share/prometheus/alertmanager"
FETCH_TIMEOUT_S = 120.0
LOCK_TIMEOUT_S = 300.0
INSTEAD = "Put it on the PATH, or run the tests where there are apt-get and dpkg-deb"


class ToolError(Exception):
    """A program is not to be had here; the text says why."""


def program(name: str, say: Say = silent) -> Path:
    """The program of that name: from the PATH, or from its package, which is fetched the first time.

    Start it in `program(name).parents[1]`, the usr/ of its package.

    Raises:
        ToolError: neither works here.
    """
    if installed := shutil.which(name):
        return Path(installed)
    package = PACKAGES[name]
    target = TOOLS / package
    if not target.exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        with locked(TOOLS / f"{package}.lock", SystemClock(), LOCK_TIMEOUT_S, say):
            if not target.exists():
                _unpack(package, target, say)
    return target / "usr" / "bin" / name


def why_unavailable(*names: str) -> str | None:
    """Why one of these programs is not to be had here; None when all of them are, fetched where they were not."""
    try:
        for name in names:
            program(name)
    except ToolError as error:
        return str(error)
    return None


def _unpack(package: str, target: Path, say: Say) -> None:
    missing = [name for name in ("apt-get", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise ToolError(f"Debian's package {package} needs {' and '.join(missing)}. {INSTEAD}.")
    say(f"Fetching Debian's package {package} for the tests (once, into {target}) ...")
    with tempfile.TemporaryDirectory(prefix="part-", dir=TOOLS) as part:
        download = partial(_run, "apt-get", "download", package, directory=part)
        try:
            download()
        except ToolError:
            if os.geteuid() != 0:  # only root may renew the lists that are missing, or too old
                raise
            _run("apt-get", "update", directory=part)
            download()
        [archive] = Path(part).glob("*.deb")
        _run("dpkg-deb", "--extract", str(archive), f"{part}/root", directory=part)
        for found in Path(part, "root", "usr", "bin").glob("*alertmanager"):
            found.write_bytes(found.read_bytes().replace(INSTALLED, UNPACKED))
        Path(part, "root").replace(target)


def _run(*command: str, directory: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"`{' '.join(command)}` did not end within {FETCH_TIMEOUT_S:.0f} s. {INSTEAD}.") from error
    if done.returncode != 0:
        said = done.stdout.strip().splitlines()[-1:] or ["nothing"]
        raise ToolError(f"`{' '.join(command)}` ended with {done.returncode} and said: {said[0]}. {INSTEAD}.")
