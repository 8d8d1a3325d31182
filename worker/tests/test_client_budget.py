"""The budget of further attempts: a share of the calls, and a burst."""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from worker.calling.budget import Budget


def taken(budget: Budget) -> int:
    """How many further attempts it allows now."""
    count = 0
    while budget.take():
        count += 1
    return count


def test_it_is_full_at_first() -> None:
    """A server that dies before the first call is got round as well."""
    assert taken(Budget(0.1, 20.0)) == 20


def test_calls_fill_it() -> None:
    """A quarter of the calls may make a further attempt once the burst is used up."""
    budget = Budget(0.25, 2.0)
    taken(budget)
    for expected in (0, 0, 0, 1, 0, 0, 0, 1):
        budget.call()
        assert taken(budget) == expected


def test_it_does_not_overflow() -> None:
    """However many calls went well, a burst stays a burst."""
    budget = Budget(0.5, 3.0)
    for _ in range(1000):
        budget.call()
    assert taken(budget) == 3


def test_nothing_is_allowed_by_an_empty_one() -> None:
    """Without a share and without a burst no call is hedged."""
    budget = Budget(0.0, 0.0)
    budget.call()
    assert not budget.take()


@given(
    share=st.floats(0.0, 1.0), most=st.floats(0.0, 30.0), calls=st.lists(st.tuples(st.booleans(), st.integers(0, 4)))
)
def test_it_keeps_its_promise(share: float, most: float, calls: list[tuple[bool, int]]) -> None:
    """Whatever is asked, no more than the share of the calls, and one burst, are allowed."""
    budget = Budget(share, most)
    made = allowed = 0
    for is_call, wanted in calls:
        if is_call:
            budget.call()
            made += 1
        allowed += sum(budget.take() for _ in range(wanted))
        assert allowed <= share * made + most + 1e-9


def test_threads_share_it() -> None:
    """No token is taken twice, and none is lost, when many threads want them."""
    budget = Budget(0.1, 1000.0)
    with ThreadPoolExecutor(8) as pool:
        allowed = list(pool.map(lambda _: budget.take(), range(4000)))
    assert sum(allowed) == 1000
