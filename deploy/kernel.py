#!/usr/bin/env python3
"""Builds the native scorer where there is Rust, and says so where there is none. Needs the standard library only.

    kernel.py check       what is missing for it; deploy/prerequisites.sh asks
    kernel.py install     builds it and puts it beside models/__init__.py; the Makefile and an editable install ask
    kernel.py library     builds it and prints where it lies; hatch_build.py asks, for a wheel
    kernel.py cargo ...   runs cargo in the crate, or prints a line that this was skipped

CLF_BUILD_KERNEL says what happens where it cannot be built: auto (the default) goes on with a warning, 1 is an error.
With 0 nothing is built, and what was is taken away.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CRATE: Final = ROOT / "models" / "kernel"
LIBRARY: Final = ROOT / "models" / f"_kernel{sysconfig.get_config_var('EXT_SUFFIX')}"
MODES: Final = ("auto", "0", "1")

# `cargo build` in the words that let the linker of macOS leave Python's symbols open.
BUILD: Final = ("rustc", "--release", "--lib", "--features", "python", "--message-format=json-render-diagnostics")
LINK: Final = ("--", "-C", "link-arg=-undefined", "-C", "link-arg=dynamic_lookup") if sys.platform == "darwin" else ()
COMPONENTS: Final = {"fmt": "rustfmt", "clippy": "clippy"}

INSTEAD: Final = "clf works all the same, with the reference scorer: the same results, but fewer documents per second."
REMEDY: Final = "To have it: install Rust {rust} or newer (https://rustup.rs), then `make kernel` or install clf again."


Done = subprocess.CompletedProcess[str]


class UnavailableError(Exception):
    """There is no native scorer to be had here; the message says why."""


class Cargo:
    """The cargo of this machine, and what it is to know.

    Raises:
        UnavailableError: there is none, it does not run, or it is too old.
    """

    def __init__(self) -> None:
        # rustup's own folder is on the PATH only after the next login.
        home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "bin"
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(home)])
        found = shutil.which("cargo", path=path)
        if found is None:
            raise UnavailableError("cargo was not found")
        self.program: Final = found
        # The interpreter itself, not its link in some environment: else PyO3 is compiled again for every environment.
        self.environment: Final = {**os.environ, "PATH": path, "PYO3_PYTHON": str(Path(sys.executable).resolve())}
        answer = self.ask("--version")
        version = re.match(r"cargo (\d+(?:\.\d+)+)", answer.stdout)
        if version is None:
            raise UnavailableError(f"{found} does not run: {(answer.stderr.strip() or 'no answer').splitlines()[0]}")
        if numbers(version[1]) < numbers(needed()):
            raise UnavailableError(f"{found} is too old, {version[1]}")

    def run(self, *arguments: str, stdout: int | None = None, stderr: int | None = None) -> Done:
        """Run it in the crate; what it prints goes where ours goes, if nothing else is said."""
        command = [self.program, *arguments]
        return subprocess.run(
            command, cwd=CRATE, env=self.environment, stdout=stdout, stderr=stderr, text=True, check=False
        )

    def ask(self, *arguments: str) -> Done:
        """Run it and keep what it prints."""
        return self.run(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def build(self) -> Path:
        """Compile what is not up to date; where the library lies then.

        Raises:
            UnavailableError: it does not compile; what the compiler says is on standard error.
        """
        done = self.run(*BUILD, *LINK, stdout=subprocess.PIPE)
        if done.returncode:
            raise UnavailableError("cargo could not build it, for the reason above")
        files = [
            Path(name)
            for message in map(json.loads, filter(None, done.stdout.splitlines()))
            if message["reason"] == "compiler-artifact" and message["target"]["name"] == "_kernel"
            for name in message["filenames"]
        ]
        return next(path for path in files if path.suffix in {".so", ".dylib"})

    def require(self, command: str) -> None:
        """Make sure of a command that a component of its own brings.

        Raises:
            UnavailableError: it is not there.
        """
        component = COMPONENTS.get(command)
        if component and self.ask(command, "--version").returncode:
            raise UnavailableError(f"there is no `cargo {command}`; `rustup component add {component}` brings it")


def needed() -> str:
    """The least version of Rust, as the crate names it."""
    version: str = tomllib.loads((CRATE / "Cargo.toml").read_text("utf-8"))["package"]["rust-version"]
    return version


def numbers(version: str) -> list[int]:
    """A version as one compares it."""
    return [int(part) for part in version.split(".")]


def say(text: str) -> None:
    """Tell whoever builds."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def newest_source() -> int:
    """When the newest source of the library was changed; folders tell what was removed or renamed."""
    paths = [CRATE / "Cargo.toml", CRATE / "src", *(CRATE / "src").rglob("*")]
    return max(path.stat().st_mtime_ns for path in paths)


def check(mode: str) -> int:
    """Name what is missing."""
    try:
        if mode != "0":
            Cargo()
    except UnavailableError as error:
        if mode == "1":
            return refuse(error)
        say(
            f"Missing, but optional: Rust {needed()} or newer (https://rustup.rs) for the native scorer; {error}.\n"
            f"  Going on without it: {INSTEAD}"
        )
    return 0


def install(mode: str) -> int:
    """Build the library and put it where Python finds it; never leave one there that was built from older sources."""
    if mode == "0":
        LIBRARY.unlink(missing_ok=True)
        say(f"Native scorer: left out, as CLF_BUILD_KERNEL=0 asks. {INSTEAD}")
        return 0
    newest = newest_source()
    try:
        built = Cargo().build()
    except UnavailableError as error:
        if LIBRARY.exists() and LIBRARY.stat().st_mtime_ns != newest:
            LIBRARY.unlink()
        if mode == "1":
            return refuse(error)
        if LIBRARY.exists():
            say(f"Native scorer: kept as it was built from these sources earlier ({error}).")
        else:
            warn(error)
        return 0
    before = LIBRARY.read_bytes() if LIBRARY.exists() else None
    # Renamed into place, because a worker may have the old one mapped. Its time is that of what it was built from.
    new = LIBRARY.with_name(f"_kernel.{os.getpid()}.so")
    shutil.copyfile(built, new)
    os.utime(new, ns=(newest, newest))
    new.replace(LIBRARY)
    say("Native scorer: up to date." if LIBRARY.read_bytes() == before else "Native scorer: built.")
    return 0


def library(mode: str) -> int:
    """Build the library and print where it lies; print nothing where it is left out."""
    try:
        if mode != "0":
            sys.stdout.write(f"{Cargo().build()}\n")
    except UnavailableError as error:
        if mode == "1":
            return refuse(error)
        warn(error)
    return 0


def cargo(mode: str, arguments: list[str]) -> int:
    """Run cargo in the crate, or say that this was skipped."""
    skipped = f"Skipped: cargo {' '.join(arguments)}"
    if mode == "0":
        say(f"{skipped} (CLF_BUILD_KERNEL=0).")
        return 0
    try:
        program = Cargo()
        program.require(arguments[0])
    except UnavailableError as error:
        if mode == "1":
            return refuse(error)
        say(f"{skipped} ({error}).")
        return 0
    return program.run(*arguments).returncode


def warn(reason: UnavailableError) -> None:
    """Say what is lost and how to get it."""
    say(f"WARNING: the native scorer was not built: {reason}.\n  {INSTEAD}\n  {REMEDY.format(rust=needed())}")


def refuse(reason: UnavailableError) -> int:
    """Say what is missing that was asked for."""
    say(f"Error: CLF_BUILD_KERNEL=1 asks for the native scorer: {reason}.\n  {REMEDY.format(rust=needed())}")
    return 1


def main() -> int:
    """Do what the first argument says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("check", "install", "library", "cargo"))
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    mode = os.environ.get("CLF_BUILD_KERNEL") or "auto"
    if mode not in MODES:
        parser.error(f"CLF_BUILD_KERNEL is {mode!r}, not one of {', '.join(MODES)}")
    if asked.command == "cargo":
        if not asked.arguments:
            parser.error("cargo needs arguments")
        return cargo(mode, asked.arguments)
    return {"check": check, "install": install, "library": library}[asked.command](mode)


if __name__ == "__main__":
    sys.exit(main())
