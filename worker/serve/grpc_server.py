"""The gRPC server around the service: ports, health, reflection, and a stop that loses no call."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import grpc
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from worker.clock import Clock
from worker.config import Grpc
from worker.serve.calls import CallPool
from worker.serve.grpc import SERVICE, Servicer
from worker.serve.health import EVERYTHING, NOT_SERVING, SERVING, Health
from worker.serve.health import SERVICE as HEALTH_SERVICE
from worker.stream.deadline import Deadline

# Beyond that multiple of --max-message-bytes gRPC itself refuses a message, before it is read.
_HARD_LIMIT: Final = 4
# Calls that grpcio has not even looked at. What is beyond, gRPC's core sheds (as CANCELLED) for a tenth of the price:
# without a limit they would pile up until all of them are late.
_MOST_PENDING: Final = 8
_QUIET_SECONDS: Final = 0.05
_POLL_SECONDS: Final = 0.005
# grpcio must not cut off the calls in hand at the very moment when it is decided whether there are any.
_MARGIN_SECONDS: Final = 1.0

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class GrpcServerError(Exception):
    """The server cannot be opened. The text says what to do."""


class GrpcServer:
    """One server with its port; its calls run on `pool`.

    It also listens on a Unix socket in a directory of its own that only this user can enter, for the calls that it
    makes to itself (`own_address`): they need neither a certificate nor a port.
    """

    def __init__(
        self,
        config: Grpc,
        servicer: Servicer,
        pool: CallPool,
        credentials: grpc.ServerCredentials | None,
        directory: Path,
        clock: Clock,
    ) -> None:
        """Take the port; callers are answered from `start` on. The socket of its own goes into `directory`.

        Raises:
            GrpcServerError: the port is taken, or the socket cannot be made.
        """
        self._clock = clock
        self._pool = pool
        self._server = grpc.server(
            pool,  # type: ignore[arg-type]  # all that grpcio does with it is to submit
            interceptors=[pool],
            options=_options(config.max_message_bytes),
        )
        servicer.add_to(self._server)
        self._health = Health((EVERYTHING, SERVICE))
        self._add_standard_services()
        self.own_address = f"unix:{directory / 'grpc.sock'}"
        self.port = self._bind(config, credentials)
        self.address = f"{_bracketed(config.grpc_host)}:{self.port}"

    def start(self) -> None:
        """Answer calls; the health service says not serving until `serving`."""
        self._server.start()

    def serving(self) -> None:
        """Tell whoever watches the health service that calls may come."""
        self._health.set(SERVING)

    def not_serving(self) -> None:
        """Tell them that they should go elsewhere; calls are still answered."""
        self._health.set(NOT_SERVING)

    def stop(self, grace: float) -> bool:
        """Take no new calls, finish those in hand within `grace` seconds. Returns whether all of them were finished."""
        deadline = Deadline(self._clock, grace)
        self._server.stop(grace + _MARGIN_SECONDS)
        finished = self._await_quiet(deadline)
        # What is still open are streams of those who watch the health service; they would wait for ever.
        self._server.stop(None)
        return finished

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(0)

    def _bind(self, config: Grpc, credentials: grpc.ServerCredentials | None) -> int:
        address = f"{_bracketed(config.grpc_host)}:{config.grpc_port}"
        try:
            self._server.add_insecure_port(self.own_address)
        except RuntimeError as error:
            raise GrpcServerError(
                f"The socket {self.own_address} cannot be made. Set TMPDIR to a directory with a short name."
            ) from error
        try:
            if credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise GrpcServerError(
                f"The gRPC port {address} cannot be opened. Another server may have it: take --grpc-port 0 for a free "
                "one, or check --grpc-host."
            ) from error

    def _add_standard_services(self) -> None:
        services = {
            HEALTH_SERVICE: _health_handlers(self._health, ThreadPoolExecutor(2, "health")),
            reflection.SERVICE_NAME: _reflection_handlers(ThreadPoolExecutor(2, "reflection")),
        }
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
        )

    def _await_quiet(self, deadline: Deadline) -> bool:
        """Wait until nothing has been in hand for a moment: what came in may not have been looked up yet."""
        quiet_since = None
        while not deadline.expired:
            now = self._clock.monotonic()
            if self._pool.in_hand:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= _QUIET_SECONDS:
                return True
            self._clock.sleep(_POLL_SECONDS)
        return self._pool.in_hand == 0


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _options(max_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.so_reuseport", 0),  # or a second server would take half of the calls of the same port, unnoticed
        ("grpc.max_receive_message_length", _HARD_LIMIT * max_message_bytes),
        ("grpc.server.max_pending_requests", _MOST_PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _MOST_PENDING),
        # Callers may ask every second whether the server is still there, also without calls.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ]


# Whoever looks around must not keep a thread from the calls: these services have threads of their own. That is what
# `experimental_thread_pool` means to grpcio.


def _health_handlers(servicer: Health, pool: ThreadPoolExecutor) -> dict[str, _Handler]:
    check, watch = _on(pool, servicer.check), _on(pool, servicer.watch)
    watch.experimental_non_blocking = True  # type: ignore[attr-defined]  # it gets a function to send by, and may return
    read, write = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    return {
        "Check": grpc.unary_unary_rpc_method_handler(check, read, write),
        "Watch": grpc.unary_stream_rpc_method_handler(watch, read, write),
    }


def _reflection_handlers(pool: ThreadPoolExecutor) -> dict[str, _Handler]:
    servicer = reflection.ReflectionServicer([SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME])
    read = reflection_pb2.ServerReflectionRequest.FromString
    write = reflection_pb2.ServerReflectionResponse.SerializeToString
    info = _on(pool, servicer.ServerReflectionInfo)
    return {"ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(info, read, write)}


def _on(pool: ThreadPoolExecutor, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    def behave(*arguments: Any) -> Any:  # noqa: ANN401 - whatever that service takes and gives
        return behaviour(*arguments)

    behave.experimental_thread_pool = pool  # type: ignore[attr-defined]  # functions may carry attributes
    return behave
