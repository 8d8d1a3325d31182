"""`clf register` and `clf deregister`: a running server's place in Consul, from outside of it."""

from pathlib import Path

import click

from worker.commands.cluster import clear_errors
from worker.config import Consul
from worker.options import options
from worker.registration import Registry, RegistryError, services
from worker.serve.service_file import ServiceFileError, read_service_file

_FILE = click.option(
    "--service-file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("service.json"),
    show_default=True,
    envvar="CLF_SERVICE_FILE",
    show_envvar=True,
    help="File in which the server tells its ports.",
)


@click.command()
@options(Consul)
@_FILE
def register(consul: Consul, service_file: Path) -> None:
    """Register a running `clf serve` with Consul.

    Registers clf-grpc and clf-health of the server whose service file is given, each with an HTTP check on /status.
    `clf serve --register` does the same by itself, and takes them out on stop.

    \b
    Exit codes: 0 registered   2 wrong usage   3 no server, or Consul cannot be used; see the message
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    with clear_errors(RegistryError, ServiceFileError):
        registry = Registry(consul, service_file)
        for name in registry.register(services(read_service_file(service_file))):
            click.echo(f"Registered {name} at {consul.consul}")


@click.command()
@options(Consul)
@_FILE
def deregister(consul: Consul, service_file: Path) -> None:
    """Take a `clf serve` out of Consul, whether it still runs or not.

    Deregisters what was registered from this host for the given service file.

    \b
    Exit codes: 0 nothing of it is registered any more   2 wrong usage   3 Consul cannot be used; see the message
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    with clear_errors(RegistryError):
        ids = Registry(consul, service_file).deregister()
        for name in ids:
            click.echo(f"Deregistered {name} from {consul.consul}")
        if not ids:
            click.echo(f"Nothing of {service_file.absolute()} is registered at {consul.consul}")
