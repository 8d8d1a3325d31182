"""The faults: what each does to a system at work, and what must hold beside the audit."""

import random
import signal
from functools import partial

from integration_tests.faults.backlog_faults import FAULTS_OF_BACKLOGS
from integration_tests.faults.cluster_faults import FAULTS_OF_THREE
from integration_tests.faults.disk_faults import FAULTS_OF_DISKS
from integration_tests.faults.document_faults import FAULTS_OF_DOCUMENTS
from integration_tests.faults.fault import RECOVERY_SECONDS, Fault, Inject, recover
from integration_tests.faults.fleet import Point
from integration_tests.faults.points import POINTS
from integration_tests.faults.poison_faults import FAULTS_OF_POISON
from integration_tests.faults.proxy import Network
from integration_tests.faults.soak import SOAK
from integration_tests.faults.stage import Setting, Stage, Verdict
from integration_tests.faults.topic_faults import FAULTS_OF_TOPICS
from integration_tests.system import CLF, WorkerProcess, wait_until
from models.store import Store

SESSION_SECONDS = 10.0
_OTHERS_SECONDS = 1.0
_FROZEN_SECONDS = 15.0
_FENCED_SECONDS = 5.0
_RELOAD_SECONDS = 4.0  # twice --reload-interval
_STORM_SECONDS, _STORM_MOVES = 60.0, 20
EXIT_FATAL = 4
_PROGRESS = "progress, share of steady"


def kill_at_random(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """A worker dies at a random moment, and its supervisor starts it again."""
    for _ in range(rounds):
        victim = stage.random.randrange(stage.setting.workers)
        stage.fleet.await_ready(victim)
        stage.clock.sleep(stage.random.uniform(0.0, 1.0))
        dead = stage.fleet.partitions_of(victim)
        others = [partition for partition in range(stage.setting.partitions) if partition not in dead]
        began = stage.clock.monotonic()
        stage.fleet.signal(victim, signal.SIGKILL)
        stage.await_recovery(verdict, began, within=RECOVERY_SECONDS)
        stage.fleet.await_ready(*range(stage.setting.workers))
        end = stage.clock.monotonic()
        verdict.gap("the dead worker's", stage.timeline.longest_gap(dead, began, end), most=SESSION_SECONDS + 2)
        verdict.gap("other", stage.timeline.longest_gap(others, began, end), most=_OTHERS_SECONDS)
        verdict.rounds += 1


def kill_at_points(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """Worker 0 dies before or after each step of a transaction, in turn."""
    names = list(POINTS)
    stage.random.shuffle(names)
    points = [Point(names[n % len(names)], _nth(names[n % len(names)], stage.random)) for n in range(rounds)]
    stage.fleet.points[0] = points
    died = len(stage.fleet.exits)
    stage.fleet.signal(0, signal.SIGKILL)  # from now on it is one that dies at a point, until there are none left
    wait_until(lambda: not points, "all points were reached", 30.0 * rounds)
    wait_until(lambda: len(stage.fleet.exits) - died > rounds, "the last one was reached", 60.0)
    healed = stage.clock.monotonic()
    stage.await_recovery(verdict, healed, within=RECOVERY_SECONDS)
    codes = [code for _, slot, code in stage.fleet.exits[died:] if slot == 0]
    verdict.must(codes == [-signal.SIGKILL] * (rounds + 1), f"worker 0 ended with {codes}")
    verdict.rounds = rounds


def _nth(point: str, chance: random.Random) -> int:
    """At which call of the function it happens: the first start has one, a batch has hundreds of results."""
    if point.endswith("init"):
        return 1
    return chance.randint(1, 300) if point.endswith("produce") else chance.randint(1, 8)


def freeze(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """A worker is stopped past its session timeout in mid-transaction, and goes on as a zombie."""
    for _ in range(rounds):
        victim = stage.random.randrange(stage.setting.workers)
        stage.fleet.await_ready(victim)
        dead = stage.fleet.partitions_of(victim)
        stage.clock.sleep(stage.random.uniform(0.0, 0.5))
        ends, began = len(stage.fleet.exits), stage.clock.monotonic()
        stage.fleet.signal(victim, signal.SIGSTOP)
        stage.clock.sleep(_FROZEN_SECONDS)
        stage.fleet.signal(victim, signal.SIGCONT)
        healed = stage.clock.monotonic()
        stage.await_recovery(verdict, healed, within=RECOVERY_SECONDS)
        stage.fleet.await_ready(*range(stage.setting.workers))
        verdict.gap("the frozen worker's", stage.timeline.longest_gap(dead, began, stage.clock.monotonic()))
        codes = [code for _, _, code in stage.fleet.exits[ends:]]
        verdict.must(set(codes) <= {EXIT_FATAL}, f"the zombie ended with {codes}")
        verdict.rounds += 1


def one_slot(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """A second worker takes the slot of a first one on another host (another lock directory): one of them leaves."""
    for _ in range(rounds):
        victim = stage.random.randrange(stage.setting.workers)
        stage.fleet.await_ready(victim)
        first, ends = stage.fleet.workers[victim], len(stage.fleet.exits)
        elsewhere = stage.system.directory / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        command = [*CLF, "worker", *stage.system.options(), "--slot", str(victim), *stage.fleet.options]
        second = WorkerProcess(command, elsewhere, TMPDIR=str(elsewhere))
        try:
            left = partial(_left, stage, ends, second)
            wait_until(lambda: second.events("started") or left(), "it started")  # noqa: B023 - called at once
            began = stage.clock.monotonic()
            wait_until(left, "one left", 30)
            verdict.most("seconds until one left", stage.clock.monotonic() - began)
            leaver = first if len(stage.fleet.exits) > ends else second
            verdict.must("Give every worker its own --slot" in leaver.log(), "the one that left did not say why")
        finally:
            second.kill()
        stage.await_recovery(verdict, stage.clock.monotonic(), within=RECOVERY_SECONDS)
        verdict.rounds += 1
    seconds = verdict.facts["seconds until one left"]
    verdict.must(seconds <= _FENCED_SECONDS, f"it took {seconds:.1f} s until one left")


def _left(stage: Stage, exits_before: int, second: WorkerProcess) -> bool:
    return len(stage.fleet.exits) > exits_before or second.process.poll() is not None


def stop_in_turn(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """Each worker is stopped as an operator does, and another one started in its place."""
    began = stage.clock.monotonic()
    for n in range(rounds):
        slot = n % stage.setting.workers
        code = stage.fleet.terminate(slot)
        verdict.must(code == 0, f"a worker that was asked to stop ended with {code}")
        stage.fleet.start(slot)
        stage.fleet.await_ready(slot)
        verdict.rounds += 1
    end = stage.clock.monotonic()
    verdict.gap("all", stage.longest_gap(began))
    verdict.facts[_PROGRESS] = stage.progress(began)
    stage.await_recovery(verdict, end, within=RECOVERY_SECONDS)


def storm(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """Workers come and go, twenty times in a minute."""
    pause = _STORM_SECONDS / _STORM_MOVES
    began = stage.clock.monotonic()
    for n in range(rounds):
        next_move = stage.clock.monotonic() + pause
        extra = stage.setting.workers + n // 2 % 2
        if n % 2 == 0:
            stage.fleet.start(extra)
        else:
            code = stage.fleet.terminate(extra)
            verdict.must(code == 0, f"a worker that was asked to stop ended with {code}")
        stage.clock.sleep(max(0.0, next_move - stage.clock.monotonic()))
        verdict.rounds += 1
    end = stage.clock.monotonic()
    share = verdict.facts[_PROGRESS] = stage.progress(began)
    verdict.must(share >= 0.5, f"progress was {share:.0%} of steady")
    verdict.gap("all", stage.longest_gap(began))
    stage.await_recovery(verdict, end, within=RECOVERY_SECONDS)


def kill_broker(seconds: float) -> Inject:
    """The broker is killed, and comes back after some seconds with its data."""

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        broker = stage.around.broker
        for _ in range(rounds):
            assert broker.running is not None, "the broker runs"
            directory, port = broker.running.directory, broker.running.port
            began = stage.clock.monotonic()
            broker.kill()
            stage.clock.sleep(seconds)
            broker.start(directory, port=port, follow_parent=True)
            recover(stage, verdict, began)

    return inject


def freeze_broker(seconds: float) -> Inject:
    """The broker hangs for some seconds: connections stay, nothing is answered."""

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        broker = stage.around.broker
        for _ in range(rounds):
            process = broker.running.process() if broker.running is not None else None
            assert process is not None, "the broker runs"
            began = stage.clock.monotonic()
            process.suspend()
            stage.clock.sleep(seconds)
            process.resume()
            recover(stage, verdict, began)

    return inject


def network(*states: tuple[Network, float]) -> Inject:
    """The network between workers and broker is in each of these states for that many seconds, then whole again."""

    def inject(stage: Stage, verdict: Verdict, rounds: int) -> None:
        for _ in range(rounds):
            began = stage.clock.monotonic()
            for state, seconds in states:
                stage.proxy.set(state)
                stage.clock.sleep(seconds)
            stage.proxy.set(Network.OPEN)
            recover(stage, verdict, began)

    return inject


def reload(stage: Stage, verdict: Verdict, rounds: int) -> None:
    """Another version of each model becomes active under load, again and again."""
    store = Store(stage.around.models)
    began = stage.clock.monotonic()
    for n in range(rounds):
        for lang in store.languages():
            versions = store.versions(lang)
            store.activate(lang, versions[n % len(versions)])
        stage.clock.sleep(_RELOAD_SECONDS)
        verdict.rounds += 1
    end = stage.clock.monotonic()
    told = [len(worker.events("model_swapped")) for worker in stage.fleet.workers.values()]
    verdict.must(min(told) >= rounds - 1, f"workers swapped models {told} times")
    verdict.gap("all", stage.longest_gap(began), most=_OTHERS_SECONDS)
    stage.await_recovery(verdict, end, within=RECOVERY_SECONDS)


_PROXIED = Setting(through_proxy=True)

POINTS_FAULT = Fault("points", "kill -9 before and after each step of a transaction", kill_at_points, rounds=20)

FAULTS = (
    Fault("kill", "kill -9 of a worker at random", kill_at_random, rounds=10),
    POINTS_FAULT,
    Fault("freeze", f"SIGSTOP of a worker for {_FROZEN_SECONDS:g} s, then SIGCONT", freeze, rounds=3),
    Fault("slot", "two workers with one slot", one_slot, rounds=3),
    Fault("stop", "SIGTERM one by one under load", stop_in_turn, rounds=6),
    Fault("storm", f"{_STORM_MOVES} joins and leaves in {_STORM_SECONDS:g} s", storm, rounds=_STORM_MOVES),
    Fault(
        "stop-at-least-once",
        "SIGTERM one by one, at-least-once",
        stop_in_turn,
        rounds=6,
        setting=Setting(options=("--delivery", "at-least-once")),
    ),
    *FAULTS_OF_POISON,
    Fault("reload", "other models become active under load", reload, 6, steady_fleet=True),
    Fault("network-5", "network cut for 5 s", network((Network.CUT, 5.0)), 2, _PROXIED),
    Fault("network-20", "network cut for 20 s", network((Network.CUT, 20.0)), 1, _PROXIED),
    Fault("network-70", "network cut for 70 s", network((Network.CUT, 70.0)), 1, _PROXIED),
    Fault("network-up", "nothing reaches the broker for 20 s", network((Network.CUT_TO_BROKER, 20.0)), 1, _PROXIED),
    Fault("network-down", "nothing comes back for 20 s", network((Network.CUT_TO_CLIENT, 20.0)), 1, _PROXIED),
    Fault("network-slow", "20 s of a slow network", network((Network.SLOW, 20.0)), 1, _PROXIED),
    Fault("network-torn", "connections torn for 10 s", network((Network.TORN, 10.0)), 2, _PROXIED),
    Fault("broker-4", "broker killed for 4 s", kill_broker(4.0), rounds=2),
    Fault("broker-30", "broker killed for 30 s", kill_broker(30.0), rounds=1),
    Fault("broker-frozen", "broker frozen for 40 s", freeze_broker(40.0), rounds=1),
    *FAULTS_OF_TOPICS,
    *FAULTS_OF_DOCUMENTS,
    *FAULTS_OF_DISKS,
    *FAULTS_OF_THREE,
    *FAULTS_OF_BACKLOGS,
    SOAK,
)
