"""The runbook's looks: every command of its beginning, its alerts and its exit codes, beside a running system."""

import json
import re
from collections.abc import Iterator
from itertools import takewhile

import pytest

from integration_tests.console import FIRST, Console, even, on_own_broker, send
from integration_tests.runbook import section, sections
from integration_tests.system import THOROUGH
from schemas.classification import decode_classification

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]

SERVER = "clf serve --grpc-port 50051 --http-port 9465 --service-file serve.json"
# What only looks. Nothing else is run here, so that a line that somebody adds to the runbook starts or changes nothing.
LOOK = re.compile(
    r"(curl -s|curl) HOST|cat |df |kafka-consumer-groups.sh .*--describe|echo .* \| clf classify --grpc HOST|"
    r"clf (topics check|models (list|verify)|dead-letters (list|show)|verify|worker --help)\b(?!.*--follow)"
)
NO_LOOKS = {
    "clf tail --limit 1",  # below, as is the next one
    """echo '{"url": "https://example.org/", "text": "a test", "lang": "en"}' | clf send""",
    "clf topics add-partitions",  # test_partitions.py
    "clf worker --dead-letter-limit 1",  # test_operations.py
    "clf dead-letters replay --reason killed_worker",  # test_operations.py, for another reason
    "clf verify --follow",  # test_verify.py
    "curl CONSUL:8500/v1/health/service/clf-grpc?passing",  # test_consul.py asks the same
    "clf serve",  # the name of it, no command
}
LINES = {
    line.partition("  #")[0].rstrip()
    for heading in takewhile(lambda heading: heading != "Operations", sections())
    for line in (*section(heading).commands, *section(heading).inline)
    if not line.startswith("export")
}
LOOKS = sorted(filter(LOOK.match, LINES))
# What some of them must tell of the system below.
TELLS = {
    "curl -s HOST:9464/ready": '{"status":"ready"}',
    "curl HOST:9465/ready": '{"status":"ready"}',
    "clf topics check": "A worker can start with these topics.",
    "clf verify --recompute 0": "All holds: 43 documents",
    "clf dead-letters list --last 20": "3 dead letters: 3 not_json.",
    "clf dead-letters show 3/0": "not json",
    "clf models verify en VERSION": "v1",
    "kafka-consumer-groups.sh ... --describe --members": "#PARTITIONS",
}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A worker and a server at work, forty results and three dead letters."""
    with on_own_broker(tmp_path_factory.mktemp("looks")) as made:
        send(made.system, {3: 3}, value=b"not json")
        send(made.system, even(10))
        with made.start(FIRST), made.start(SERVER):
            made.system.await_settled(43)
            yield made


@THOROUGH
@pytest.mark.parametrize("line", LOOKS)
def test_a_look(console: Console, line: str) -> None:
    """It ends with 0 and tells something, and complains of nothing."""
    done = console.try_run(line)
    assert (done.returncode, TELLS.get(line, "") in done.stdout) == (0, True), done
    assert done.stdout


def test_every_command_is_known() -> None:
    """Whatever the runbook has before its operations is a look, or one of those that are tried elsewhere."""
    assert LINES - set(LOOKS) == NO_LOOKS
    assert TELLS.keys() <= set(LOOKS)


@THOROUGH
def test_a_document_goes_through(console: Console) -> None:
    """ClfWorkerInactive: whoever tails first sees the result of the document that is sent then."""
    sent, tail = section("ClfWorkerInactive").inline
    with console.begin(tail) as tailing:
        assert tailing.stderr is not None
        assert tailing.stderr.readline().startswith("Following ")
        console.run(sent)
        out, _ = tailing.communicate(timeout=60)
    assert (tailing.returncode, decode_classification(out.strip().encode()).url) == (0, "https://example.org/")


@THOROUGH
def test_wrong_usage(console: Console) -> None:
    """Exit code 2, and the very message that is shown."""
    line, message = section("2: wrong usage").answers[0].removeprefix("$ ").split("\n", 1)
    done = console.try_run(line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(message)


@THOROUGH
def test_cannot_start(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3: the last line of the log says why, and so do the commands that it is checked with."""
    monkeypatch.setitem(console.environment, "CLF_DOCUMENTS", "not-there")
    monkeypatch.setitem(console.stands_for, "model-store", "not-there-either")
    topics, models = section("3: cannot start").commands
    done = console.try_run(FIRST.replace("w1", "w9").replace("9464", "9469"))
    assert done.returncode == 3
    last = json.loads(done.stderr.splitlines()[-1])
    assert (last["event"], "not-there" in last["reason"]) == ("cannot_start", True)
    assert "not-there" in console.try_run(topics).stderr
    assert console.try_run(topics).returncode == 3
    listed = console.try_run(models)
    assert "not-there-either" in listed.stdout + listed.stderr
