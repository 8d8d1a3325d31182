"""What the fault suite computes from what it saw."""

import pytest

from integration_tests.faults.backlog_faults import Look as Settled
from integration_tests.faults.backlog_faults import longest_waits
from integration_tests.faults.memory import Look, growth
from integration_tests.faults.odd import POISON, odd
from schemas.document import DocumentError, decode_document


def test_growth_is_that_within_lives() -> None:
    """A worker that began with more than another has not grown, and the first minutes of a life do not count."""
    small = [Look(age, 100 + age * 2) for age in range(240, 300)]
    large = [Look(age, 900 + age * 2) for age in range(240, 270)]
    young = [Look(age, age * 50) for age in range(240)]
    assert growth([small, large, young]) == pytest.approx(2.0)
    assert growth([young]) == 0.0


def test_a_wait_is_one_with_documents_left() -> None:
    """A partition that is done waits for nothing."""
    looks = [Settled(0.0, {}), Settled(1.0, {0: 5}), Settled(4.0, {0: 5, 1: 1}), Settled(9.0, {0: 5, 1: 2})]
    assert longest_waits(looks, {0: 5, 1: 2}) == {0: 1.0, 1: 5.0}


def test_odd_records_end_as_they_say() -> None:
    """Each kind is a document, or is refused for its own reason; all kinds come in turn."""
    records = [odd("https://odd.example/1", number) for number in range(2 * (len(POISON) + 6))]
    assert set(POISON) <= set(records)
    for value, reason in records:
        if reason is None:
            assert decode_document(value).url == "https://odd.example/1"
            continue
        with pytest.raises(DocumentError) as refused:
            decode_document(value)
        assert f"{refused.value.reason}" == f"{reason}"
