"""A local broker, as its users see it."""

import pytest

from integration_tests.broker import Kafka
from integration_tests.conftest import Unique

pytestmark = pytest.mark.broker


def test_a(kafka: Kafka, unique: Unique) -> None:
    """Records that were produced can be read."""
    t = kafka.create_topic(unique("x"), 2)
    assert kafka.produce(t, [b"a", b"b"]) == 2
    assert sorted(r.value or b"" for r in kafka.read(t)) == [b"a", b"b"]
