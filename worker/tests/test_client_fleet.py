"""The servers: what one knows of itself, and which one is chosen."""

import threading
from collections import Counter
from collections.abc import Callable

import grpc
import pytest

from worker.calling.fleet import Fleet
from worker.calling.server import PLAIN_TEXT, Security, Server, open_channel
from worker.tests.client_fakes import Code, Connectivity, FakeChannel, FakeServer, Post, as_channel, as_server
from worker.tests.fakes import ManualClock

PARTING_SECONDS = 0.1
TIMEOUT_S = 5.0


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when told to."""
    return ManualClock()


class Ship:
    """A fleet of fake servers, by address."""

    def __init__(self, clock: ManualClock) -> None:
        self.made: list[FakeServer] = []
        self.changed: list[Callable[[], None]] = []
        self._post = Post(clock)
        self.fleet = Fleet(self._connect, clock, PARTING_SECONDS)

    def __getitem__(self, address: str) -> FakeServer:
        """The server that was made last for that address."""
        return next(server for server in reversed(self.made) if server.address == address)

    @property
    def known(self) -> list[str]:
        """Addresses of the present servers."""
        return [server.address for server in self.fleet.servers]

    def chosen(self, tried: str = "", times: int = 200) -> Counter[str]:
        """Who is chosen how often."""
        those = {as_server(self[address]) for address in tried}
        found = Counter[str]()
        for _ in range(times):
            server = self.fleet.choose(those)
            assert server is not None
            found[server.address] += 1
        return found

    def _connect(self, address: str, changed: Callable[[], None]) -> Server:
        self.made.append(FakeServer(address, self._post))
        self.changed.append(changed)
        return as_server(self.made[-1])


@pytest.fixture
def ship(clock: ManualClock) -> Ship:
    """Three servers: a, b, c."""
    made = Ship(clock)
    made.fleet.update("abc")
    return made


# --- which servers there are -----------------------------------------------------------------------------------


def test_servers_come_and_go(ship: Ship) -> None:
    """Who stays keeps its connection, who is new gets one, who left is disconnected, in that order of looking."""
    stays = ship["b"]
    ship.fleet.update(["b", "d", "b"])
    assert (ship.known, ship["b"]) == (["b", "d"], stays)
    assert [(server.address, server.watched, server.closed) for server in ship.made] == [
        ("a", False, True),
        ("b", True, False),
        ("c", False, True),
        ("d", True, False),
    ]


def test_a_server_that_comes_back_is_a_new_one(ship: Ship) -> None:
    """Its old connection is closed, so it needs another."""
    ship.fleet.update("bc")
    ship.fleet.update("abc")
    assert [server.address for server in ship.made] == ["a", "b", "c", "a"]
    assert not ship["a"].closed


def test_calls_in_flight_are_let_finish(ship: Ship, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that leaves is not chosen any more, and is disconnected when its last call is done."""
    ship["a"].in_flight = 1
    seen = []

    def wait(seconds: float) -> None:
        clock.now += seconds
        seen.append((*ship.known, ship["a"].closed))
        ship["a"].in_flight = int(len(seen) < 3)

    monkeypatch.setattr(clock, "sleep", wait)
    ship.fleet.update("b")
    assert (seen, ship["a"].closed) == ([("b", False)] * 3, True)


def test_calls_in_flight_do_not_hold_it_for_ever(ship: Ship, clock: ManualClock) -> None:
    """After the time of a call the connection is closed, whoever still waits."""
    ship["a"].in_flight = 1
    ship.fleet.update("b")
    assert ship["a"].closed
    assert sum(clock.slept) == pytest.approx(PARTING_SECONDS, abs=0.02)


def test_closed_for_good(ship: Ship) -> None:
    """After `close` nobody is known, and a lookup that was under way connects to nobody."""
    ship.fleet.close()
    ship.fleet.update("xyz")
    ship.fleet.close()
    assert (ship.known, ship.fleet.choose(set()), len(ship.made)) == ([], None, 3)
    assert all(server.closed and not server.watched for server in ship.made)


def test_waiting_for_the_first(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until one is ready, is woken by the server that becomes so, and gives up in time."""
    assert ship.fleet.await_ready(0)
    for server in ship.made:
        server.ready = False
    assert not ship.fleet.await_ready(0.001)
    waiting, woken = threading.Event(), []
    wait = ship.fleet._changed.wait

    def watched_wait(seconds: float) -> bool:
        waiting.set()
        woken.append(wait(seconds))
        return woken[-1]

    def become_ready() -> None:
        assert waiting.wait(TIMEOUT_S)
        ship["b"].ready = True
        ship.changed[1]()

    monkeypatch.setattr(ship.fleet._changed, "wait", watched_wait)
    thread = threading.Thread(target=become_ready)
    thread.start()
    assert ship.fleet.await_ready(TIMEOUT_S)
    thread.join()
    assert woken == [True]


# --- the choice --------------------------------------------------------------------------------------------------


def test_all_get_their_share(ship: Ship) -> None:
    """Without any difference each one is chosen about as often."""
    found = ship.chosen(times=900)
    assert found.keys() == set("abc")
    assert min(found.values()) > 200


@pytest.mark.parametrize(
    ("not_ready", "avoided", "tried", "expected"),
    [
        ("", "", "a", "bc"),
        ("", "", "ab", "c"),
        ("", "", "abc", "abc"),
        ("a", "", "", "bc"),
        ("ab", "", "c", "c"),
        ("abc", "", "", "abc"),
        ("abc", "", "a", "bc"),
        ("", "a", "", "bc"),
        ("", "ab", "c", "ab"),
        ("", "abc", "", "abc"),
        ("a", "b", "", "c"),
        ("a", "b", "c", "b"),
        ("c", "b", "a", "b"),
    ],
)
def test_who_is_preferred(ship: Ship, not_ready: str, avoided: str, tried: str, expected: str) -> None:
    """Ready before not tried before in time; when all are the same in one respect, it does not count."""
    for server in ship.made:
        server.ready, server.avoided = server.address not in not_ready, server.address in avoided
    assert ship.chosen(tried).keys() == set(expected)


def test_the_less_busy_of_two(ship: Ship) -> None:
    """Of three the busiest is never the better one of two, and the idlest always is."""
    for server, in_flight in zip(ship.made, (5, 0, 2), strict=True):
        server.in_flight = in_flight
    found = ship.chosen(times=600)
    assert found["a"] == 0
    assert found["b"] > found["c"] > 0
    ship.fleet.update("ab")
    assert ship.chosen() == Counter(b=200)


def test_the_only_one(ship: Ship) -> None:
    """Where there is one, it is the choice, tried or not."""
    ship.fleet.update("a")
    assert ship.chosen("a") == Counter(a=200)


# --- one server --------------------------------------------------------------------------------------------------


class Watched:
    """A server on a fake channel, and how often it told of a change."""

    def __init__(self, clock: ManualClock) -> None:
        self.channel = FakeChannel()
        self.changes = 0
        self.server = Server("a:1", as_channel(self.channel), clock, self._changed)

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def watched(clock: ManualClock) -> Watched:
    """Not ready yet."""
    return Watched(clock)


def test_it_connects_before_the_first_call(watched: Watched) -> None:
    """To watch a channel is to open it."""
    assert (watched.channel.connecting, watched.server.ready) == (True, False)


def test_ready_is_what_the_channel_says(watched: Watched) -> None:
    """Only READY counts, which a channel to a server that calls itself unhealthy is not; changes are told once."""
    for state, ready, changes in [
        (Connectivity.CONNECTING, False, 0),
        (Connectivity.READY, True, 1),
        (Connectivity.READY, True, 1),
        (Connectivity.TRANSIENT_FAILURE, False, 2),
        (Connectivity.IDLE, False, 2),
        (Connectivity.READY, True, 3),
        (Connectivity.SHUTDOWN, False, 4),
    ]:
        watched.channel.become(state)
        assert (watched.server.ready, watched.changes) == (ready, changes)


def test_calls_wait_for_a_connection_only_without_one(watched: Watched) -> None:
    """A call to a ready server fails at once when the connection breaks; its method and time are those given."""
    watched.server.begin("Classify", b"1", 0.1)
    watched.channel.become(Connectivity.READY)
    watched.server.begin("ClassifyBatch", b"2", 0.2)
    assert [(call.method, call.request, call.timeout, call.wait_for_ready) for call in watched.channel.asked] == [
        ("/clf.v1.Classifier/Classify", b"1", 0.1, True),
        ("/clf.v1.Classifier/ClassifyBatch", b"2", 0.2, False),
    ]


def test_calls_in_flight_are_counted(watched: Watched) -> None:
    """From the beginning until an end of whatever kind, each once."""
    pending = [watched.server.begin("Classify", b"", 1.0) for _ in range(3)]
    assert watched.server.in_flight == 3
    watched.channel.asked[0].pending.end(Code.OK)
    watched.channel.asked[1].pending.end(Code.UNAVAILABLE)
    assert pending[1] is not None
    pending[1].cancel()
    assert watched.server.in_flight == 1
    watched.server.close()
    assert watched.server.in_flight == 0


def test_a_closed_server_takes_no_call(watched: Watched) -> None:
    """It says so, rather than raising what its caller cannot know, and counts nothing."""
    watched.server.unwatch()
    watched.server.close()
    assert watched.server.begin("Classify", b"", 1.0) is None
    assert (watched.server.in_flight, watched.channel.watchers) == (0, [])


def test_other_errors_are_not_taken_for_that(watched: Watched) -> None:
    """A ValueError of an open channel is a bug, and is raised."""
    watched.channel.error = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        watched.server.begin("Classify", b"", 1.0)
    assert watched.server.in_flight == 0


def slow(server: Server, times: int) -> None:
    """That many slow calls."""
    for _ in range(times):
        server.was_slow()


def test_three_slow_calls_in_a_row(watched: Watched, clock: ManualClock) -> None:
    """It is avoided for half a second after the third; a quick call in between begins the count anew."""
    slow(watched.server, 2)
    watched.server.was_quick()
    slow(watched.server, 2)
    assert not watched.server.avoided
    slow(watched.server, 1)
    assert watched.server.avoided
    clock.now += 0.51
    assert not watched.server.avoided


def test_it_is_avoided_ever_longer(watched: Watched, clock: ManualClock) -> None:
    """One slow call after each pause doubles the next, up to eight seconds; slow calls within a pause do not count."""
    slow(watched.server, 3)
    pauses = []
    for _ in range(6):
        slow(watched.server, 5)
        began = clock.now
        while watched.server.avoided:
            clock.now += 0.25
        pauses.append(clock.now - began)
        slow(watched.server, 1)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_quick_call_is_forgiveness(watched: Watched, clock: ManualClock) -> None:
    """It ends the pause at once, and the next one is short again."""
    slow(watched.server, 3)
    clock.now += 1
    slow(watched.server, 1)
    watched.server.was_quick()
    assert not watched.server.avoided
    slow(watched.server, 3)
    clock.now += 0.51
    assert not watched.server.avoided


# --- channels ------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object, dict[str, object]]]:
    """What grpcio is asked to open: address, credentials, options."""
    found: list[tuple[str, object, dict[str, object]]] = []
    monkeypatch.setattr(grpc, "insecure_channel", lambda address, options: found.append((address, None, dict(options))))
    monkeypatch.setattr(
        grpc,
        "secure_channel",
        lambda address, credentials, options: found.append((address, credentials, dict(options))),
    )
    return found


def test_channels_are_as_secure_as_wanted(opened: list[tuple[str, object, dict[str, object]]]) -> None:
    """Plain text without credentials; with them TLS, for the name in the address or for another."""
    credentials = grpc.ssl_channel_credentials()
    name = "grpc.ssl_target_name_override"
    for security in (PLAIN_TEXT, Security(credentials), Security(credentials, "clf.example")):
        open_channel("10.0.0.7:50051", security)
    assert [(address, found) for address, found, _ in opened] == [
        ("10.0.0.7:50051", None),
        ("10.0.0.7:50051", credentials),
        ("10.0.0.7:50051", credentials),
    ]
    assert [options.get(name) for _, _, options in opened] == [None, None, "clf.example"]


def test_channels_stay_open(opened: list[tuple[str, object, dict[str, object]]]) -> None:
    """No pause is long enough for gRPC to disconnect, it does not repeat calls by itself, and it watches the health."""
    open_channel("a:1", PLAIN_TEXT)
    [(_, _, options)] = opened
    assert options["grpc.client_idle_timeout_ms"] == 2**31 - 1
    assert (options["grpc.enable_retries"], options["grpc.keepalive_permit_without_calls"]) == (0, 1)
    assert '"healthCheckConfig": {"serviceName": "clf.v1.Classifier"}' in str(options["grpc.service_config"])
