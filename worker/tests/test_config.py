"""The settings of the worker and the server as options of the command line."""

from collections import Counter
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_type_hints

import click
import pytest

from worker.commands.serve import serve
from worker.commands.worker import worker
from worker.config import (
    Batching,
    Cluster,
    Failures,
    Group,
    Grpc,
    Guarantee,
    Http,
    Logging,
    Reload,
    RequestLog,
    Scoring,
    ServeConfig,
    ServeHttp,
    Tls,
    Topics,
    WorkerConfig,
)

COMMANDS: dict[click.Command, type] = {worker: WorkerConfig, serve: ServeConfig}


def groups(config: type) -> list[type]:
    """The groups of options that a configuration is made of."""
    return list(get_type_hints(config).values())


def names(config: type) -> list[str]:
    """The options it has."""
    return [item.name for group in groups(config) for item in fields(group)]


def parameters(command: click.Command) -> dict[str, click.Option]:
    """What the command takes, by name."""
    return {str(option.name): option for option in command.params if isinstance(option, click.Option)}


NAMES = [(command, name) for command, config in COMMANDS.items() for name in names(config)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_field_is_exactly_one_option(command: click.Command) -> None:
    """`clf worker` and `clf serve` have an option for each field of each group, and no other."""
    expected = Counter(names(COMMANDS[command]))
    assert expected == Counter([parameter.name for parameter in command.params])
    assert max(expected.values()) == 1


@pytest.mark.parametrize(("command", "name"), NAMES)
def test_each_option_explains_itself(command: click.Command, name: str) -> None:
    """It has help text that ends like a sentence, its own name, and its environment variable, shown by --help."""
    parameter = parameters(command)[name]
    assert parameter.help is not None
    assert len(parameter.help) > 15
    assert parameter.help.endswith((".", "...", "]"))
    assert parameter.opts == ["--" + name.replace("_", "-")]
    assert parameter.envvar == "CLF_" + name.upper()
    assert parameter.show_envvar


@pytest.mark.parametrize("group", dict.fromkeys([*groups(WorkerConfig), *groups(ServeConfig)]))
def test_groups_are_values(group: type) -> None:
    """Each is a frozen, slotted dataclass whose defaults make a value."""
    assert is_dataclass(group)
    made = group()
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        setattr(made, fields(group)[0].name, None)
    assert not hasattr(made, "__dict__")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_defaults_pass_their_own_checks(command: click.Command) -> None:
    """What an option starts with it would accept."""
    context = click.Context(command)
    for parameter in parameters(command).values():
        default = parameter.get_default(context)
        if default is not None:
            parameter.type_cast_value(context, default)


@pytest.mark.parametrize(
    ("command", "name", "value"),
    [
        (worker, "max_records", "0"),
        (worker, "max_bytes", "-1"),
        (worker, "max_age", "0"),
        (worker, "revoke_timeout", "0"),
        (worker, "drain_timeout", "-3"),
        (worker, "transaction_timeout", "0.5"),
        (worker, "transaction_timeout", "901"),
        (worker, "dead_letter_limit", "1.1"),
        (worker, "dead_letter_limit", "-0.1"),
        (worker, "dead_letter_window", "0"),
        (worker, "http_port", "65536"),
        (worker, "http_port", "-1"),
        (worker, "delivery", "at-most-once"),
        (worker, "group_protocol", "CLASSIC"),
        (worker, "on_decode_failure", "ignore"),
        (worker, "log_level", "verbose"),
        (worker, "kafka_config", "no/such/file"),
        (worker, "reload_interval", "-1"),
        (serve, "processes", "0"),
        (serve, "threads", "0"),
        (serve, "max_calls", "0"),
        (serve, "min_time_left", "-0.1"),
        (serve, "grace", "nan"),
        (serve, "max_batch", "0"),
        (serve, "keep_warm", "-1"),
        (serve, "reload_interval", "nan"),
        (serve, "request_log_days", "0"),
        (serve, "critical_timeout", "59"),
        (serve, "tls_cert", "no/such/file"),
    ],
)
def test_senseless_values_are_refused(command: click.Command, name: str, value: str) -> None:
    """They are wrong usage, before anything is started."""
    with pytest.raises(click.BadParameter):
        parameters(command)[name].type_cast_value(click.Context(command), value)


def test_the_documented_defaults() -> None:
    """What the design promises without any option."""
    assert Topics() == Topics("documents", "classifications", "documents.dead-letter")
    assert (Guarantee().delivery, Guarantee().transaction_timeout) == ("exactly-once", 10.0)
    assert (Group().group_protocol, Group().slot) == ("classic", "auto")
    assert (Failures().on_decode_failure, Failures().on_score_failure) == ("dead-letter", "dead-letter")
    assert Http().http_host == "127.0.0.1"
    assert (Scoring().scoring, Logging().log_format, Cluster().bootstrap_servers) == (True, "auto", "")
    assert Group().revoke_timeout < Guarantee().transaction_timeout
    assert Batching().max_document_bytes < Batching().max_bytes
    assert (Grpc().grpc_host, Grpc().grpc_port, Grpc().processes) == ("127.0.0.1", 50051, 1)
    assert Tls() == Tls(None, None, None)
    assert Reload().reload_interval == 2.0
    assert (RequestLog().request_log, RequestLog().request_log_text) == (None, False)
    assert ServeHttp().http_port != Http().http_port, "a worker and a server run on one machine"
