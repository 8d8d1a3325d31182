"""What is read of a host, from files as kernels 5.15 and 6.18 wrote them."""

from pathlib import Path

import pytest

from worker.diagnosis.host import Host, HostReason, shares
from worker.tests.fakes import ManualClock

STAT = """\
cpu  1641320 579968 290217 2305628 7846 0 30202 24396 11 0
cpu0 820660 289984 145108 1152814 3923 0 15101 12198 11 0
intr 131 2
ctxt 9
"""
STAT_LATER = STAT.replace("2305628", "2305928").replace(" 24396", " 24496")  # 300 idle, 100 stolen
CPU_V1 = "nr_periods {}\nnr_throttled {}\nthrottled_time 813364422\nnr_bursts 0\nburst_time 0\n"
CPU_V2 = "usage_usec 77\nuser_usec 7\nsystem_usec 70\nnr_periods {}\nnr_throttled {}\nthrottled_usec 813364\n"
PRESSURE = """\
some avg10=59.94 avg60=54.44 avg300=36.73 total={}
full avg10=0.00 avg60=0.00 avg300=0.03 total=44443637
"""


class Machine:
    """The two file systems, in a directory, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root, self.clock = root, ManualClock()
        self.host = Host(self.clock, root / "proc", root / "cgroup")
        self.write("proc/stat", STAT)
        self.write("proc/self/cgroup", "0::/\n")

    def write(self, path: str, text: str) -> None:
        """One file."""
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def ten_seconds(self, *changes: tuple[str, str]) -> dict[HostReason, float]:
        """The shares of ten seconds, after which these files are different."""
        before = self.host.read()
        self.clock.now += 10
        for path, text in changes:
            self.write(path, text)
        return {reason: share for reason, share in shares(before, self.host.read()).items() if share}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Without cgroups or pressure."""
    return Machine(tmp_path)


def test_steal(machine: Machine) -> None:
    """Of all CPU time, guests counted once."""
    assert machine.ten_seconds(("proc/stat", STAT_LATER)) == {HostReason.CPU_STEAL: 0.25}


@pytest.mark.parametrize("own", ["kubepods/pod7/worker", "kubepods/pod7"])
def test_throttled_in_version_2(machine: Machine, own: str) -> None:
    """A quota of ours or of a cgroup above ours; the hardest one counts."""
    machine.write("proc/self/cgroup", "0::/kubepods/pod7/worker\n")
    files = {f"cgroup/{cgroup}/cpu.stat" for cgroup in ("kubepods", "kubepods/pod7", "kubepods/pod7/worker")}
    for path in files:
        machine.write(path, CPU_V2.format(1000, 100))
    changes = [(path, CPU_V2.format(1100, 110)) for path in files - {f"cgroup/{own}/cpu.stat"}]
    assert machine.ten_seconds(*changes, (f"cgroup/{own}/cpu.stat", CPU_V2.format(1100, 180))) == {
        HostReason.CPU_THROTTLED: 0.8
    }


def test_a_container_sees_its_own_cgroup_as_the_root(machine: Machine) -> None:
    """With a namespace of its own the path is /; without one it is that of the host, which is not mounted."""
    for own in ("0::/\n", "0::/kubepods/pod7/worker\n"):
        machine.write("proc/self/cgroup", own)
        machine.write("cgroup/cpu.stat", CPU_V2.format(0, 0))
        assert machine.ten_seconds(("cgroup/cpu.stat", CPU_V2.format(100, 50))) == {HostReason.CPU_THROTTLED: 0.5}


@pytest.mark.parametrize(
    ("controllers", "directory"), [("cpu", "cpu"), ("cpu,cpuacct", "cpu,cpuacct"), ("cpuacct,cpu", "cpu")]
)
def test_throttled_in_version_1(machine: Machine, controllers: str, directory: str) -> None:
    """In the hierarchy of `cpu`, under the name of its directory or the link to it."""
    machine.write("proc/self/cgroup", f"9:name=systemd:/x\n4:memory:/y\n1:{controllers}:/docker/7\n0::/\n")
    path = f"cgroup/{directory}/docker/7/cpu.stat"
    machine.write(path, CPU_V1.format(10, 1))
    assert machine.ten_seconds((path, CPU_V1.format(20, 4))) == {HostReason.CPU_THROTTLED: pytest.approx(0.3)}


def test_pressure_of_the_machine(machine: Machine) -> None:
    """Time in which some process waited, by our own clock."""
    machine.write("proc/pressure/io", PRESSURE.format(1_000_000))
    machine.write("proc/pressure/memory", PRESSURE.format(5))
    machine.write("proc/pressure/cpu", PRESSURE.format(0))
    found = machine.ten_seconds(
        ("proc/pressure/io", PRESSURE.format(6_000_000)),
        ("proc/pressure/memory", PRESSURE.format(1_000_005)),
        ("proc/pressure/cpu", PRESSURE.format(10_000_000)),
    )
    assert found == {HostReason.IO_PRESSURE: pytest.approx(0.5), HostReason.MEMORY_PRESSURE: pytest.approx(0.1)}


@pytest.mark.parametrize("mount", ["cgroup", "cgroup/unified"])
def test_pressure_of_our_own_cgroup(machine: Machine, mount: str) -> None:
    """It goes before that of the machine, where others wait too; mixed systems have version 2 in `unified`."""
    machine.write("proc/self/cgroup", "4:memory:/y\n0::/pod/worker\n")
    machine.write("proc/pressure/io", PRESSURE.format(0))
    machine.write(f"{mount}/pod/io.pressure", PRESSURE.format(0))
    own = f"{mount}/pod/worker/io.pressure"
    machine.write(own, PRESSURE.format(0))
    found = machine.ten_seconds(("proc/pressure/io", PRESSURE.format(9_000_000)), (own, PRESSURE.format(1_000_000)))
    assert found == {HostReason.IO_PRESSURE: pytest.approx(0.1)}


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu  1 2 3\n", "nr_periods x\nnr_throttled\n", "some avg10=\n", "\0"])
def test_files_that_say_nothing(machine: Machine, text: str) -> None:
    """Old kernels, other systems, half of a file: no reason is found, and nothing is raised."""
    for path in ("proc/stat", "cgroup/cpu.stat", "proc/pressure/io", "cgroup/memory.pressure", "proc/self/cgroup"):
        machine.write(path, text if path != "proc/self/cgroup" else "0::/\n")
    assert machine.ten_seconds() == {}


def test_no_files_at_all(tmp_path: Path) -> None:
    """As on a system that is no Linux."""
    host = Host(ManualClock(), tmp_path / "a", tmp_path / "b")
    assert host.read() == {}
    assert set(shares(host.read(), host.read())) == set(HostReason)


def test_counts_that_begin_anew(machine: Machine) -> None:
    """A process that was moved to another cgroup compares nothing that does not belong together."""
    machine.write("cgroup/cpu.stat", CPU_V2.format(100, 50))
    assert machine.ten_seconds(("cgroup/cpu.stat", CPU_V2.format(10, 0))) == {}
