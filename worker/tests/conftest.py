"""What holds for every test of the worker."""

import pytest


@pytest.fixture(autouse=True)
def no_width_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as without a terminal, wherever the tests run; pytest-xdist says how wide its own is."""
    monkeypatch.delenv("COLUMNS", raising=False)
