"""The status page in a real browser: it draws, refreshes itself under its own policy, and nothing else runs in it."""

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.plain_calls import Caller
from integration_tests.serving import ServeProcess
from schemas.document import Document
from worker.page.page import Column, Fact, Page, Section, answer
from worker.serve.http import HttpServer, routes

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")

SCRIPT = "<script>document.title = 'broken'</script><img src=x onerror=\"document.title = 'broken'\">"


def browse(url: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """One visit of a browser that nobody sees."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",  # it is our own page, and root may have no other
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
        *options,
        url,
    ]
    return subprocess.run(command, capture_output=True, check=True, timeout=90, text=True)


def complaints(visit: subprocess.CompletedProcess[str]) -> list[str]:
    """What the browser wrote to its console, such as what its policy refused."""
    return [line for line in visit.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture
def hostile() -> Iterator[HttpServer]:
    """A port with a page whose every text is an attack, and which counts how often it was made."""
    made = list[int]()

    def page() -> Page:
        made.append(1)
        section = Section(SCRIPT, [Column(SCRIPT), Column(SCRIPT)], [(SCRIPT, SCRIPT)], SCRIPT)
        return Page(SCRIPT, None, SCRIPT, [Fact("made", f"{len(made)} times", SCRIPT)], [section])

    server = HttpServer("127.0.0.1", 0, routes(lambda: None, lambda: b"", lambda: answer(page())))
    yield server
    server.close()


def test_it_refreshes_and_nothing_else_runs(hostile: HttpServer, tmp_path: Path) -> None:
    """After seven seconds of the browser's time it shows a later page; no text of it ran, and no rule was broken."""
    url = f"http://{hostile.host}:{hostile.port}/"
    visit = browse(url, tmp_path / "profile", "--virtual-time-budget=7000", "--dump-dom")
    [times] = re.findall(r"(\d+) times", visit.stdout)
    assert int(times) > 1, visit.stdout
    assert "<title>ready: &lt;script&gt;" in visit.stdout
    assert visit.stdout.count("<script>") == 1
    assert "<img" not in visit.stdout
    assert complaints(visit) == []


def test_the_page_of_a_server(tmp_path: Path) -> None:
    """It is drawn, at the size that was asked for, and says what the server has done."""
    with ServeProcess(tmp_path / "server", ["--no-scoring"]) as server, Caller(server.grpc) as caller:
        for _ in range(30):
            caller.call(Document("https://secret.example/", "Football", "a goal", "en").to_protobuf())
        picture = tmp_path / "page.png"
        size = ("--window-size=1000,800", f"--screenshot={picture}")
        visit = browse(f"http://{server.health}/", tmp_path / "profile", *size)
        html = server.get("/")[1]
        assert server.get("/elsewhere")[0] == 404
    assert complaints(visit) == []
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (1000, 800)
    assert picture.stat().st_size > 20_000, "an empty page is far smaller"
    assert "clf serve: " in html
    assert re.search(r"OK</th><td class=\"number\">30<", html)
    assert "secret" not in html
