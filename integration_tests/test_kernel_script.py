"""deploy/kernel.py, on a copy of what it builds and with a script for cargo: what it says, what it leaves behind."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = f"models/_kernel{sysconfig.get_config_var('EXT_SUFFIX')}"

VERSION = '[ "$1" = --version ] && echo "cargo 99.0.0 (made up)" && exit\n'
BUILDS = """echo compiled >"$CARGO_TARGET_DIR/lib_kernel.so"
artifact='{"reason":"compiler-artifact","target":{"name":"_kernel"},"filenames":["%s"]}\n'
printf "$artifact" "$CARGO_TARGET_DIR/lib_kernel.so"
"""

Done = subprocess.CompletedProcess[str]


class Checkout:
    """What the script looks at, elsewhere, and the cargo that it finds."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.library = root / LIBRARY
        self.source = root / "models/kernel/src/lib.rs"
        for name in ("deploy/kernel.py", "models/kernel/Cargo.toml", "models/kernel/src/lib.rs"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
        (root / "bin").mkdir()

    def cargo(self, script: str | None) -> None:
        """Let this shell script be the cargo; None: there is none."""
        program = self.root / "bin" / "cargo"
        program.unlink(missing_ok=True)
        if script is not None:
            program.write_text("#!/bin/sh\n" + script)
            program.chmod(0o755)

    def kernel(self, *arguments: str, mode: str = "auto") -> Done:
        """Run the script."""
        folders = {"PATH": str(self.root / "bin"), "CARGO_HOME": str(self.root), "CARGO_TARGET_DIR": str(self.root)}
        command = [sys.executable, str(self.root / "deploy/kernel.py"), *arguments]
        environment = {**os.environ, **folders, "CLF_BUILD_KERNEL": mode}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def touch(self) -> None:
        """Change the source, a second later than it was."""
        changed = self.source.stat().st_mtime_ns + 1_000_000_000
        os.utime(self.source, ns=(changed, changed))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """One without a cargo."""
    return Checkout(tmp_path)


@pytest.fixture
def built(checkout: Checkout) -> Checkout:
    """One in which the library was built."""
    checkout.cargo(VERSION + BUILDS)
    done = checkout.kernel("install")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "Native scorer: built.\n")
    assert checkout.library.read_text() == "compiled\n"
    return checkout


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(None, "cargo was not found", id="none"),
        pytest.param('echo "cargo 1.70.0 (old)"', "is too old, 1.70.0", id="old"),
        pytest.param("echo no toolchain >&2; exit 1", "does not run: no toolchain", id="rustup alone"),
        pytest.param(VERSION + "exit 101", "could not build it", id="fails"),
    ],
)
def test_what_is_missing_is_named(checkout: Checkout, script: str | None, reason: str) -> None:
    """A warning with the reason and the remedy; an error where CLF_BUILD_KERNEL=1 asks for the library."""
    checkout.cargo(script)
    for command in ("install", "library"):
        done = checkout.kernel(command)
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith("WARNING: the native scorer was not built: ")
        assert reason in done.stderr
        assert "https://rustup.rs" in done.stderr
        done = checkout.kernel(command, mode="1")
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert reason in done.stderr
    assert not checkout.library.exists()


def test_a_library_of_older_sources_goes(built: Checkout) -> None:
    """One of these very sources stays when cargo fails; one of older sources does not."""
    built.cargo(None)
    assert "kept as it was built" in built.kernel("install").stderr
    assert built.library.exists()
    built.touch()
    assert "WARNING" in built.kernel("install").stderr
    assert not built.library.exists()


def test_it_is_taken_away_on_demand(built: Checkout) -> None:
    """CLF_BUILD_KERNEL=0 means the reference scorer, whatever was built before."""
    done = built.kernel("install", mode="0")
    assert done.returncode == 0
    assert "CLF_BUILD_KERNEL=0" in done.stderr
    assert not built.library.exists()
    assert built.kernel("library", mode="0").stdout == ""


def test_building_again_changes_nothing(built: Checkout) -> None:
    """Cargo knows what is up to date; the copy is renamed into place, and nothing else stays beside it."""
    built.touch()
    assert built.kernel("install").stderr == "Native scorer: up to date.\n"
    assert built.library.stat().st_mtime_ns == built.source.stat().st_mtime_ns
    assert [path.name for path in (built.root / "models").glob("_kernel*")] == [built.library.name]


@pytest.mark.parametrize(
    ("script", "mode", "expected"),
    [
        pytest.param(None, "auto", "Skipped: cargo fmt --check (cargo was not found).\n", id="no cargo"),
        pytest.param(None, "0", "Skipped: cargo fmt --check (CLF_BUILD_KERNEL=0).\n", id="not wanted"),
        pytest.param(VERSION + "exit 1", "auto", "`rustup component add rustfmt` brings it).\n", id="no component"),
    ],
)
def test_cargo_is_skipped_visibly(checkout: Checkout, script: str | None, mode: str, expected: str) -> None:
    """Lint and tests of the crate need what is not everywhere."""
    checkout.cargo(script)
    done = checkout.kernel("cargo", "fmt", "--check", mode=mode)
    assert done.returncode == 0
    assert done.stderr.endswith(expected)


def test_cargo_runs_in_the_crate(checkout: Checkout) -> None:
    """Its output and its exit code are passed on."""
    checkout.cargo(VERSION + 'echo "$PWD: $*"; exit 7')
    done = checkout.kernel("cargo", "test", "--release")
    assert (done.returncode, done.stdout) == (7, f"{checkout.root}/models/kernel: test --release\n")


def test_a_wrong_mode_is_refused(checkout: Checkout) -> None:
    """The message names the right ones."""
    done = checkout.kernel("install", mode="yes")
    assert done.returncode == 2
    assert "CLF_BUILD_KERNEL is 'yes', not one of auto, 0, 1" in done.stderr
