"""How a worker ends: which code for which error. The rest of it is tested as a process."""

import pytest

from worker import app
from worker.app import run_worker
from worker.config import (
    Batching,
    Cluster,
    Failures,
    Forecast,
    Group,
    Guarantee,
    Http,
    LogFormat,
    Logging,
    Reload,
    Scoring,
    SlowHost,
    Topics,
    WorkerConfig,
)
from worker.document_options import FieldMapping, SchemaRegistry
from worker.kafka.admin import ClusterError
from worker.lifecycle import StopSignals
from worker.stream.errors import DeniedError, FatalError, FencedError

CONFIG = WorkerConfig(
    Cluster(),
    Topics(),
    Group(),
    Batching(),
    FieldMapping(),
    SchemaRegistry(),
    Guarantee(),
    Failures(),
    Scoring(),
    Reload(),
    Forecast(),
    SlowHost(),
    Http(),
    Logging(log_format=LogFormat.JSON),
)


pytestmark = pytest.mark.usefixtures("restored_logging")


@pytest.mark.parametrize(
    ("error", "has_run", "code"),
    [
        (ClusterError("no"), False, 3),
        (DeniedError("needs the right"), False, 3),
        (DeniedError("needs the right"), True, 4),
        (FatalError("no"), False, 4),
        (FencedError("no"), True, 4),
        (ZeroDivisionError("a bug"), True, 4),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, error: Exception, has_run: bool, code: int) -> None:  # noqa: FBT001 - a parameter of the table
    """What a person must put right before the first partition came is 3, all else that ends it 4."""

    class Left(BaseException):
        pass

    def run(self: app._Worker, signals: StopSignals) -> int:
        del signals
        self.has_run = has_run
        raise error

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(app._Worker, "run", run)
    monkeypatch.setattr(app._Worker, "_exit", staticmethod(leave))
    try:
        found = run_worker(CONFIG)
    except Left as left:
        found = left.args[0]
    assert found == code
