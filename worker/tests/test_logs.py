"""The log: JSON lines or text on standard error, for our own lines and those of libraries, without content."""

import logging
import sys

import orjson
import pytest
import structlog

from worker import logs
from worker.config import LogFormat, Logging

SECRET = "the text of somebody's page"  # noqa: S105 - not a password, but not for the log either


pytestmark = pytest.mark.usefixtures("restored_logging")


def configured(form: LogFormat = LogFormat.JSON, level: str = "info") -> structlog.stdlib.BoundLogger:
    """A logger after `configure`; a new one, because loggers keep the configuration they met first."""
    logs.configure(Logging(level, form))
    made: structlog.stdlib.BoundLogger = structlog.get_logger("tests")
    return made


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What came out on standard error, parsed; nothing may come out elsewhere."""
    out, err = captured.readouterr()
    assert out == ""
    return [orjson.loads(line) for line in err.splitlines()]


def test_a_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON object per line, with event, level, logger, time in UTC and every field."""
    configured().info("batch_done", records=7, text="two\nlines")
    [line] = lines(capsys)
    timestamp = str(line.pop("timestamp"))
    assert timestamp.endswith("Z")
    assert line == {"event": "batch_done", "records": 7, "text": "two\nlines", "level": "info", "logger": "tests"}


def test_a_line_of_a_library(capsys: pytest.CaptureFixture[str]) -> None:
    """It looks the same as ours, its arguments filled in."""
    configured()
    logging.getLogger("library").warning("%s is slow", "the disk")
    [line] = lines(capsys)
    assert (line["event"], line["level"], line["logger"]) == ("the disk is slow", "warning", "library")


def test_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    """What is below it is not written, from whomever it comes."""
    log = configured(level="warning")
    log.info("quiet")
    log.warning("loud")
    logging.getLogger("library").info("quiet too")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_configured_twice_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second call replaces the first."""
    configured()
    configured().warning("once")
    assert len(lines(capsys)) == 1


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    """For people: the event and its fields in one line, without colours where there is no terminal."""
    configured(LogFormat.TEXT).info("started", slot="host-0")
    written = capsys.readouterr().err
    assert "started" in written
    assert "slot=host-0" in written
    assert "\x1b" not in written


@pytest.mark.parametrize(("terminal", "json"), [(True, False), (False, True)])
def test_auto(
    terminal: bool,  # noqa: FBT001 - a parameter of the test
    json: bool,  # noqa: FBT001 - as above
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Text on a terminal, JSON otherwise."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configured(LogFormat.AUTO).info("started")
    assert capsys.readouterr().err.startswith("{") is json


def failing_with_content() -> None:
    """A function whose variables hold a document."""
    document = {"text": SECRET}
    raise ValueError(len(document))


@pytest.mark.parametrize("form", [LogFormat.JSON, LogFormat.TEXT])
def test_a_traceback_shows_no_content(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """The stack is logged, the variables in it are not: among them are documents and passwords."""
    log = configured(form)
    try:
        failing_with_content()
    except ValueError:
        log.exception("fatal")
    written = capsys.readouterr().err
    assert "failing_with_content" in written
    assert SECRET not in written
