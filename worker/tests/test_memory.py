"""How much memory is left, read from files as Linux writes them."""

from pathlib import Path

import pytest

from worker.memory import Memory

MIB = 2**20


class Machine:
    """The two file systems, in a directory."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups = root / "proc", root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.cgroups.mkdir()
        (self.proc / "meminfo").write_text("MemTotal:       9000 kB\nMemAvailable:   3072 kB\n")
        self.belongs_to("/")

    def belongs_to(self, cgroup: str) -> None:
        """The process is in this one; version 1 has hierarchies of its own, which are not looked at."""
        (self.proc / "self" / "cgroup").write_text(f"4:memory:/elsewhere\n0::{cgroup}\n")

    def limit(self, cgroup: str, limit: str, used: int, cached: int = 0) -> None:
        """What one cgroup says."""
        directory = self.cgroups / cgroup
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.current").write_text(f"{used}\n")
        (directory / "memory.stat").write_text(f"anon 5\nfile {2 * cached}\ninactive_file {cached}\n")

    @property
    def available(self) -> int | None:
        """What is found."""
        return Memory(self.proc, self.cgroups).available()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with 3 MiB left and no limits."""
    return Machine(tmp_path)


def test_without_limits_the_machine_says(machine: Machine) -> None:
    """What the kernel holds for available, in bytes."""
    assert machine.available == 3 * MIB
    machine.limit("", "max", 7 * MIB)
    assert machine.available == 3 * MIB


def test_a_limit_is_what_it_leaves(machine: Machine) -> None:
    """The smaller of machine and limit counts; a container sees its own cgroup as the root."""
    machine.limit("", str(4 * MIB), 3 * MIB)
    assert machine.available == 1 * MIB
    machine.limit("", str(40 * MIB), 3 * MIB)
    assert machine.available == 3 * MIB


def test_a_limit_holds_for_all_below(machine: Machine) -> None:
    """Our own and those of its parents; those beside it are others'."""
    machine.belongs_to("/system.slice/clf.service")
    machine.limit("system.slice/clf.service", str(4 * MIB), 2 * MIB)
    machine.limit("system.slice/other.service", str(4 * MIB), 4 * MIB)
    assert machine.available == 2 * MIB
    machine.limit("system.slice", str(9 * MIB), 8 * MIB)
    assert machine.available == 1 * MIB


def test_cached_files_give_way(machine: Machine) -> None:
    """A log that was written fills its cgroup up to the limit, and nobody will miss it."""
    machine.limit("", str(4 * MIB), 4 * MIB, cached=2 * MIB)
    assert machine.available == 2 * MIB
    machine.limit("", str(4 * MIB), 5 * MIB)
    assert machine.available == 0


def test_nobody_tells(tmp_path: Path) -> None:
    """Without these files nothing is known, and files that say nothing are like none."""
    assert Memory(tmp_path / "no", tmp_path / "nor").available() is None
    machine = Machine(tmp_path)
    (machine.proc / "meminfo").write_text("MemAvailable:\nMemFree: x kB\n")
    machine.limit("", "", 1)
    assert machine.available is None


def test_this_machine_tells() -> None:
    """It is Linux, and has some memory left."""
    available = Memory().available()
    assert available is not None
    assert available > MIB
