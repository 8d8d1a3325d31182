"""Registration with Consul, so that callers find the servers that are up.

Both services of a process have a check of their own: Consul asks the health port's /status. A server that stops
deregisters; one that crashes turns critical, and Consul deregisters it after `--critical-timeout`.
"""

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import consul
import requests
import structlog

from worker.config import Consul, ServeConfig
from worker.serve.service_file import GRPC, HEALTH

log = structlog.get_logger(__name__)

_TIMEOUT: Final = 5.0
_LOOK_SECONDS, _RETRY_SECONDS = 5.0, 1.0  # until it is asked again, when all is well and when not
_CHECK_TIMEOUT: Final = "2s"
_WILDCARDS: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - they are recognised here, not listened on
# One process of several has its number behind the name, in the service file; Consul tells instances apart by their ids.
_NAME: Final = re.compile(rf"({GRPC}|{HEALTH})(-[0-9]+)?")


class RegistryError(Exception):
    """Consul cannot be used. The text says why, and what to do."""


class Service(NamedTuple):
    """One instance of a service.

    Attributes:
        name: what callers look for.
        host: where it listens; may be a wildcard.
        port: where it listens.
        check_host: of its health port ...
        check_port: ... which Consul asks.
    """

    name: str
    host: str
    port: int
    check_host: str
    check_port: int


def services(ports: Mapping[str, str]) -> list[Service]:
    """What a service file lists, each with the health port of the same process.

    Raises:
        RegistryError: a name or an address is none of ours.
    """
    found = {}
    for name, address in ports.items():
        match = _NAME.fullmatch(name)
        host, _, port = address.rpartition(":")
        if match is None or not port.isdecimal():
            raise RegistryError(f"The service file lists {name} at {address}, which is no service of clf serve.")
        found[match[1], match[2]] = host.strip("[]"), int(port)
    return [Service(name, *place, *found.get((HEALTH, number), place)) for (name, number), place in found.items()]


class Registry:
    """The Consul agent, asked for one server's services."""

    def __init__(self, config: Consul, owner: Path) -> None:
        """`owner`, the server's service file, tells its registrations from those of others on this host.

        Raises:
            RegistryError: the agent's URL is none.
        """
        url = urlsplit(config.consul if "//" in config.consul else f"http://{config.consul}")
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise RegistryError(f"{config.consul} is no URL of a Consul agent, such as http://127.0.0.1:8500.")
        self._config = config
        self._agent_host, self._agent_port = url.hostname, url.port or 8500
        self._meta = {"clf-host": socket.gethostname(), "clf-service-file": str(owner.absolute())}
        self._consul: Any = consul.Consul(
            self._agent_host,
            self._agent_port,
            token=config.consul_token or None,
            scheme=url.scheme,
            connections_timeout=_TIMEOUT,
        )

    def register(self, found: list[Service]) -> list[str]:
        """Register them as passing; returns their ids. What is registered already is brought up to date.

        Raises:
            RegistryError: the agent does not answer, or refuses.
        """
        return [self._asked(partial(self._register, service)) for service in found]

    def registered(self) -> set[str]:
        """The ids that the agent knows of this server.

        Raises:
            RegistryError: the agent does not answer, or refuses.
        """
        known = self._asked(self._consul.agent.services)
        return {name for name, entry in known.items() if self._meta.items() <= (entry.get("Meta") or {}).items()}

    def deregister(self) -> list[str]:
        """Take out all of this server; returns their ids.

        Raises:
            RegistryError: the agent does not answer, or refuses.
        """
        ids = sorted(self.registered())
        for name in ids:
            self._asked(partial(self._consul.agent.service.deregister, name))
        return ids

    def _register(self, service: Service) -> str:
        config = self._config
        host = config.advertise or self._reached_at(service.host)
        name = f"{service.name}-{host or socket.gethostname()}-{service.port}"
        check_host = config.advertise or self._reached_at(service.check_host) or "127.0.0.1"
        check = consul.Check.http(
            f"http://{_bracketed(check_host)}:{service.check_port}/status",
            interval=f"{config.check_interval:g}s",
            timeout=_CHECK_TIMEOUT,
            deregister=f"{config.critical_timeout:g}s",
        )
        self._consul.agent.service.register(
            service.name,
            service_id=name,
            address=host,
            port=service.port,
            tags=[tag.strip() for tag in config.tags.split(",") if tag.strip()],
            meta=self._meta,
            # It answers already. Without this, nobody would be sent there before the first check.
            check={**check, "status": "passing"},
        )
        return name

    def _reached_at(self, host: str) -> str | None:
        """Where others reach what listens on `host`; None leaves it to the agent, which is on this machine then."""
        if host not in _WILDCARDS:
            return host
        with socket.socket(socket.AF_INET6 if ":" in self._agent_host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((self._agent_host, self._agent_port))  # sends nothing: asks for the route
            except OSError:
                return None
            own = str(probe.getsockname()[0])
        return None if own.startswith("127.") or own == "::1" else own

    def _asked(self, ask: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever Consul's client returns
        try:
            return ask()
        except requests.RequestException as error:
            raise RegistryError(
                f"Consul does not answer at {self._config.consul} ({type(error).__name__}). Does its agent run? "
                "--consul names another."
            ) from error
        except consul.ConsulException as error:
            raise RegistryError(f"Consul at {self._config.consul} refuses: {error}. Check --consul-token.") from error


class Registrar:
    """Keeps one server registered while it serves, on a thread of its own: Consul may come later, or forget."""

    def __init__(self, registry: Registry, found: list[Service], told: Callable[[bool], None]) -> None:
        """`told` hears each time whether Consul has the services now."""
        self._registry = registry
        self._services = found
        self._told = told
        self._failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)

    def start(self) -> None:
        """Register, and look again from time to time."""
        self._thread.start()

    def close(self) -> None:
        """Deregister, and look no more. Gives up after some seconds: a crash is what Consul is prepared for."""
        self._stopping.set()
        self._thread.join(2 * _TIMEOUT)
        try:
            ids = self._registry.deregister()
        except RegistryError as error:
            log.warning("not_deregistered", reason=str(error))
        else:
            log.info("deregistered", services=ids)

    def step(self) -> None:
        """Register what Consul does not know."""
        try:
            if len(self._registry.registered()) < len(self._services):
                log.info("registered", services=self._registry.register(self._services))
        except RegistryError as error:
            if not self._failing:
                log.warning(
                    "not_registered", reason=str(error), advice="It is tried again; calls are answered meanwhile."
                )
            self._failing = True
        else:
            self._failing = False
        self._told(not self._failing)

    def _run(self) -> None:
        self.step()
        while not self._stopping.wait(_RETRY_SECONDS if self._failing else _LOOK_SECONDS):
            self.step()


@contextmanager
def registered(config: ServeConfig, ports: Mapping[str, str], told: Callable[[bool], None]) -> Iterator[None]:
    """Keep a server with these ports registered inside the `with` block, if `config` says so.

    Raises:
        RegistryError: the agent's URL is none. One that does not answer is asked again and again.
    """
    if not config.registration.register:
        yield
        return
    registrar = Registrar(Registry(config.consul, config.serve_http.service_file), services(ports), told)
    registrar.start()
    try:
        yield
    finally:
        registrar.close()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
