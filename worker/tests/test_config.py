"""The worker's settings as options of the command line."""

from collections import Counter
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_type_hints

import click
import pytest

from worker.commands.worker import worker
from worker.config import (
    Batching,
    Cluster,
    Failures,
    Group,
    Guarantee,
    Http,
    Logging,
    Scoring,
    Topics,
    WorkerConfig,
)

GROUPS: dict[str, type] = get_type_hints(WorkerConfig)
PARAMETERS = {parameter.name: parameter for parameter in worker.params if isinstance(parameter, click.Option)}
NAMES = [item.name for group in GROUPS.values() for item in fields(group)]


def test_every_field_is_exactly_one_option() -> None:
    """`clf worker` has an option for each field of each group, and no other."""
    assert Counter(NAMES) == Counter([parameter.name for parameter in worker.params])
    assert max(Counter(NAMES).values()) == 1


@pytest.mark.parametrize("name", NAMES)
def test_each_option_explains_itself(name: str) -> None:
    """It has help text that ends like a sentence, its own name, and its environment variable, shown by --help."""
    parameter = PARAMETERS[name]
    assert parameter.help is not None
    assert len(parameter.help) > 15
    assert parameter.help.endswith((".", "...", "]"))
    assert parameter.opts == ["--" + name.replace("_", "-")]
    assert parameter.envvar == "CLF_" + name.upper()
    assert parameter.show_envvar


@pytest.mark.parametrize("group", GROUPS.values())
def test_groups_are_values(group: type) -> None:
    """Each is a frozen, slotted dataclass whose defaults make a value."""
    assert is_dataclass(group)
    made = group()
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        setattr(made, fields(group)[0].name, None)
    assert not hasattr(made, "__dict__")


def test_the_defaults_pass_their_own_checks() -> None:
    """What an option starts with it would accept."""
    context = click.Context(worker)
    for name, parameter in PARAMETERS.items():
        default = parameter.get_default(context)
        if default is not None:
            parameter.type_cast_value(context, default)
            assert name in NAMES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_records", "0"),
        ("max_bytes", "-1"),
        ("max_age", "0"),
        ("revoke_timeout", "0"),
        ("drain_timeout", "-3"),
        ("transaction_timeout", "0.5"),
        ("transaction_timeout", "901"),
        ("dead_letter_limit", "1.1"),
        ("dead_letter_limit", "-0.1"),
        ("dead_letter_window", "0"),
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("delivery", "at-most-once"),
        ("group_protocol", "CLASSIC"),
        ("on_decode_failure", "ignore"),
        ("log_level", "verbose"),
        ("kafka_config", "no/such/file"),
    ],
)
def test_senseless_values_are_refused(name: str, value: str) -> None:
    """They are wrong usage, before anything is started."""
    with pytest.raises(click.BadParameter):
        PARAMETERS[name].type_cast_value(click.Context(worker), value)


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
