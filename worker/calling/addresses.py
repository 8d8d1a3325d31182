"""Where the servers are: a list, a name in the DNS, a service in Consul. What is known stays while nobody answers."""

import logging
import random
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

log = logging.getLogger(__name__)

Addresses = tuple[str, ...]

_DNS_SECONDS: Final = 5.0
_CONSUL_WAIT: Final = "30s"
_CONSUL_TIMEOUT: Final = 5.0
_RETRY_SECONDS: Final = (0.5, 30.0)  # after the first failure, and at most
_ADDRESS: Final = re.compile(r"(?:\[([^\s/\[\]]*:[^\s/\[\]]*)\]|([^\s/:,\[\]]+)):([0-9]{1,5})")


class TargetError(ValueError):
    """A target is written wrongly. The text says how to write it."""


class Lookup(Protocol):
    """Asks once where the servers are."""

    def addresses(self) -> Addresses:
        """They are there now; may wait until that changes. Raises whatever goes wrong."""

    @property
    def pause(self) -> float:
        """Seconds until it is worth asking again."""


@dataclass(frozen=True, slots=True)
class Dns:
    """All addresses of a name, `pause` seconds apart."""

    host: str
    port: int
    pause: float = _DNS_SECONDS

    def addresses(self) -> Addresses:
        """Raises OSError."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return tuple(sorted({_address(str(entry[4][0]), self.port) for entry in found}))


class ConsulService:
    """The passing instances of a service, by blocking queries: an answer comes when something changed."""

    pause = 0.1  # an agent that answers at once, again and again, must not be asked without pause

    def __init__(self, agent: str, service: str, tag: str | None = None, dc: str | None = None) -> None:
        """`agent` is its URL. An ACL token is taken from CONSUL_HTTP_TOKEN."""
        import consul  # noqa: PLC0415 - only callers who use Consul need its client, and what that needs

        url = urlsplit(agent)
        self._service, self._tag = service, tag
        self._consul: Any = consul.Consul(
            _bracketed(url.hostname or "127.0.0.1"),
            url.port or 8500,
            scheme=url.scheme,
            dc=dc,
            connections_timeout=_CONSUL_TIMEOUT,
        )
        self._index: str | None = None

    def addresses(self) -> Addresses:
        """Raises what requests and py-consul raise."""
        known, self._index = self._index, None  # after a failure the next question is answered at once
        index, nodes = self._consul.health.service(
            self._service, passing=True, tag=self._tag, index=known, wait=_CONSUL_WAIT
        )
        # An index that goes backwards is that of a server that began anew.
        self._index = index if known is None or int(index) >= int(known) else None
        return tuple(sorted(_node_address(node) for node in nodes))


class AddressBook:
    """Keeps asking on a thread of its own, and tells of every change."""

    def __init__(self, lookup: Lookup, changed: Callable[[Addresses], None]) -> None:
        """Nothing is asked before `start`."""
        self._lookup = lookup
        self._changed = changed
        self._known: Addresses = ()
        self._failures = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clf-addresses", daemon=True)

    def start(self) -> None:
        """Ask now, and then again and again. Nobody waits for a registry that is down: it is asked again, too."""
        self._thread.start()

    def ask(self) -> float:
        """Ask once; returns the seconds until it should be asked again.

        An empty answer counts as none while servers are known: it is more often the registry that is sick than all
        of them, and whoever is gone does not answer anyway.
        """
        try:
            found = self._lookup.addresses()
            if found and found != self._known:
                self._changed(found)
                self._known = found
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a registry, the servers are still there
            self._failed(f"{type(error).__name__}: {error}")
            return self._retry_seconds()
        if not found and self._known:
            self._failed("no server is listed")
        elif self._failures:
            log.info("servers are looked up again: %s", ", ".join(found) or "none")
            self._failures = 0
        return self._lookup.pause

    def close(self) -> None:
        """Ask no more. A question under way is not waited for."""
        self._stopping.set()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self.ask()

    def _failed(self, why: str) -> None:
        if not self._failures:
            kept = ", ".join(self._known) or "none"
            log.warning("servers cannot be looked up (%s); those known stay in use: %s", why, kept)
        self._failures += 1

    def _retry_seconds(self) -> float:
        first, longest = _RETRY_SECONDS
        pause = min(longest, first * 2.0 ** min(self._failures - 1, 10))
        return pause * random.uniform(0.75, 1.25)  # noqa: S311 - so that not all clients come back at once


def parse(targets: str | Sequence[str]) -> Addresses | Lookup:
    """What a client is given, as addresses or as a way to look them up.

    Args:
        targets: a list of "host:port"; or one text: "host:port", several of them with commas between,
            "dns:///host:port", or "consul://agent:8500/service", with "?tag=..." and "&dc=..." if need be, and
            "consul+https://..." for an agent with TLS.

    Raises:
        TargetError: it is none of these.
    """
    if not isinstance(targets, str):
        return _list(targets)
    scheme, found, rest = targets.partition("://")
    if not found:
        return _list([address for address in targets.split(",") if address.strip()])
    if scheme == "dns":
        host, port = _split(rest.removeprefix("/"))
        return Dns(host, port)
    if scheme in {"consul", "consul+https"}:
        return _consul(scheme, targets)
    raise TargetError(f"{scheme}:// is no kind of target: use host:port, dns:///host:port or consul://agent/service.")


def _consul(scheme: str, target: str) -> ConsulService:
    wrong = TargetError(f"{target} is no Consul service: use consul://agent:8500/service, with ?tag=... or &dc=...")
    try:
        url = urlsplit(target)
        host, port = url.hostname, url.port or 8500
    except ValueError as error:
        raise wrong from error
    service = url.path.strip("/")
    query = parse_qs(url.query)
    ambiguous = any(len(values) > 1 for values in query.values())
    if not host or not service or "/" in service or query.keys() - {"tag", "dc"} or ambiguous:
        raise wrong
    agent = f"{'https' if scheme.endswith('https') else 'http'}://{_address(host, port)}"
    return ConsulService(agent, service, *(query.get(name, [None])[0] for name in ("tag", "dc")))


def _list(addresses: Sequence[str]) -> Addresses:
    if not addresses:
        raise TargetError("No server is named: use host:port, several with commas between or in a list.")
    return tuple(_address(*_split(address.strip())) for address in addresses)


def _split(address: str) -> tuple[str, int]:
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[3]) < 2**16:
        raise TargetError(f"{address!r} is no address: use host:port, such as 10.0.0.7:50051 or [::1]:50051.")
    return match[1] or match[2], int(match[3])


def _address(host: str, port: int) -> str:
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _node_address(node: dict[str, Any]) -> str:
    service = node["Service"]
    return _address(service["Address"] or node["Node"]["Address"], int(service["Port"]))
