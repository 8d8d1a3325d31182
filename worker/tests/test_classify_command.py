"""`clf classify`: what goes in, what comes out, and what is said about the rest."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Self

import grpc
import pytest
from click.testing import Result

from models.model import Model
from models.store import Store
from schemas.classification import Classification, ClassificationError
from schemas.decoding import DecodeReason
from schemas.document import Document
from worker.classify import Classifier
from worker.client import ClassifierError
from worker.serving_models import load_models
from worker.tests.tools import clf, small_store

FOOTBALL = Document("https://a.example/1", "Football", "a goal", "en")
MONEY = Document("https://a.example/2", "", "money in the bank", "en-GB")
KLINGON = Document("https://a.example/3", "", "goal", "tlh")
NOTHING = Document("https://a.example/4", "", "words it never saw", "eng")
DOCUMENTS = [FOOTBALL, MONEY, KLINGON, NOTHING]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a small English model."""
    return small_store(tmp_path / "store")


def lines(documents: list[Document]) -> bytes:
    """A file of these documents."""
    return b"".join(document.to_json() + b"\n" for document in documents)


def test_writes_what_the_worker_would_publish(store: Path) -> None:
    """Standard input comes out as the classifier's own bytes, one line each, in order."""
    result = clf("classify", "--models", store, given=lines(DOCUMENTS))
    expected = Classifier(load_models(Store(store))).classify(DOCUMENTS, [None] * len(DOCUMENTS))
    assert result.exit_code == 0
    assert result.stdout_bytes == b"".join(item.to_json() + b"\n" for item in expected)
    assert [json.loads(line)["status"] for line in result.stdout.splitlines()] == [
        "classified",
        "classified",
        "unsupported_language",
        "empty",
    ]


def test_reads_plain_and_gzip_files_in_order(store: Path, tmp_path: Path) -> None:
    """Compression is recognised by content, not by name; files come out in the order they were given."""
    (tmp_path / "b.jsonl").write_bytes(gzip.compress(lines([MONEY])))
    (tmp_path / "a.jsonl").write_bytes(lines([FOOTBALL]))
    result = clf("classify", "--models", store, tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    assert [json.loads(line)["url"] for line in result.stdout.splitlines()] == [MONEY.url, FOOTBALL.url]


def test_the_batch_size_changes_nothing(store: Path) -> None:
    """Batches of one give the bytes that one batch gives."""
    alone = clf("classify", "--models", store, "--batch-records", "1", given=lines(DOCUMENTS))
    assert alone.stdout_bytes == clf("classify", "--models", store, given=lines(DOCUMENTS)).stdout_bytes


BAD = b'[1]\n\n{"url": "x"\n' + FOOTBALL.to_json() + b'\n{"text": "secret content"}\n{"url": "\xff"}'


def test_bad_lines_are_told_and_counted(store: Path) -> None:
    """Each is reported with file, line and reason and without its content; the good ones come out; exit code 1."""
    result = clf("classify", "--models", store, given=BAD)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    told = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in told[:4]] == [f"<stdin>, line {number}" for number in (1, 3, 5, 6)]
    assert [line.rpartition("(")[2] for line in told[:4]] == [
        "not_an_object)",
        "not_json)",
        "url_missing)",
        "not_utf8)",
    ]
    assert told[4].startswith("Could not use 4 lines: ")
    assert "secret" not in result.stderr


def test_skip_bad_reports_and_exits_with_0(store: Path) -> None:
    """With --skip-bad the report is the same, and the exit code is 0."""
    result = clf("classify", "--models", store, "--skip-bad", given=BAD)
    assert result.exit_code == 0
    assert "Could not use 4 lines" in result.stderr


def test_lines_that_are_too_long_are_refused(store: Path) -> None:
    """A line above --max-document-bytes is reported; one of just that size and those after it are not."""
    fits = MONEY.to_json()
    long = Document("u", "", "x" * 5000, "en").to_json()
    given = long + b"\n" + fits + b"\n"
    result = clf("classify", "--models", store, "--max-document-bytes", str(len(fits)), given=given)
    assert json.loads(result.stdout)["url"] == MONEY.url
    assert "<stdin>, line 1: the line has more than" in result.stderr


def test_a_damaged_gzip_file_gives_what_it_holds(store: Path, tmp_path: Path) -> None:
    """The lines before the damage come out, the damage is reported, and the next file is read."""
    compressed = gzip.compress(lines(DOCUMENTS * 500))
    (tmp_path / "half.gz").write_bytes(compressed[: len(compressed) // 2])
    (tmp_path / "whole.jsonl").write_bytes(lines([FOOTBALL]))
    result = clf("classify", "--models", store, tmp_path / "half.gz", tmp_path / "whole.jsonl")
    assert result.exit_code == 1
    assert "the rest of the file is lost" in result.stderr
    found = [json.loads(line)["url"] for line in result.stdout.splitlines()]
    assert len(found) > 1
    assert found[-1] == FOOTBALL.url


def test_lang_is_for_documents_that_name_none(store: Path) -> None:
    """--lang fills an empty language, and leaves one that is named."""
    given = lines([Document("u", "", "goal"), KLINGON])
    result = clf("classify", "--models", store, "--lang", "eng", given=given)
    assert [json.loads(line)["lang"] for line in result.stdout.splitlines()] == ["en", "tlh"]


def test_an_impossible_language_is_wrong_usage(store: Path) -> None:
    """--lang with something that is no language code ends with 2 before anything is read."""
    result = clf("classify", "--models", store, "--lang", "12-34")
    assert result.exit_code == 2
    assert "--lang" in result.stderr


def test_a_store_without_models_cannot_start(tmp_path: Path) -> None:
    """A missing store, and one without an active model, end with 3 and one line that says what to do."""
    for store in (tmp_path / "missing", tmp_path):
        result = clf("classify", "--models", store, given=lines([FOOTBALL]))
        assert result.exit_code == 3
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1


def test_the_table_shows_nothing_a_terminal_would_obey(store: Path) -> None:
    """Control characters, direction marks and markup in a url come out as text."""
    hostile = Document("https://x/\x1b[31m\u202e\x9b[bold]", "", "goal", "en")
    result = clf("classify", "--models", store, "--format", "table", given=lines([hostile]))
    assert result.exit_code == 0
    assert r"https://x/\x1b[31m\u202e\x9b[bold]" in result.stdout
    assert not {"\x1b", "\u202e", "\x9b"} & set(result.stdout)
    assert "sport 0.9" in result.stdout


def test_a_scorer_that_fails_on_one_page_loses_only_that(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is reported with its line, its neighbours are classified."""
    predict = Model.predict

    def failing(model: Model, texts: list[str]) -> object:
        if any("poison" in text for text in texts):
            raise ValueError("poison")
        return predict(model, texts)

    monkeypatch.setattr(Model, "predict", failing)
    given = lines([FOOTBALL, Document("p", "", "poison", "en"), MONEY])
    result = clf("classify", "--models", store, given=given)
    assert result.exit_code == 1
    assert [json.loads(line)["url"] for line in result.stdout.splitlines()] == [FOOTBALL.url, MONEY.url]
    assert "<stdin>, line 2: the scorer raised ValueError (score_failed)" in result.stderr


def test_a_byte_order_mark_is_no_part_of_the_first_line(store: Path) -> None:
    """Files written on Windows begin with one."""
    result = clf("classify", "--models", store, given=b"\xef\xbb\xbf" + lines([FOOTBALL]))
    assert result.exit_code == 0


def test_a_reader_that_leaves_is_no_error(store: Path, tmp_path: Path) -> None:
    """`| head -1` ends the real program quietly and with 0."""
    (tmp_path / "many.jsonl").write_bytes(lines(DOCUMENTS * 3000))
    command = [sys.executable, "-m", "worker", "classify", "--models", str(store), str(tmp_path / "many.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"url":')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_full_disk_is_told_in_one_line(store: Path) -> None:
    """When the output cannot be written the program says so and ends with 4."""
    command = [sys.executable, "-m", "worker", "classify", "--models", str(store)]
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(command, input=lines([FOOTBALL]), stdout=full, stderr=subprocess.PIPE, check=False)
    assert found.returncode == 4
    assert found.stderr.startswith(b"Error: Standard output cannot be written: No space left on device.")
    assert found.stderr.count(b"\n") == 1


# --- by a server ---------------------------------------------------------------------------------------------


class FakeClient:
    """Stands in for the client: classifies with a small model, or fails as the url says; notes how it was made."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.ready = True
        self.made: list[object] = []
        self.closed = False

    def __call__(self, target: str, *, timeout: float, security: object) -> "FakeClient":
        """Connect."""
        self.made += [target, timeout, security]
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def classify(self, document: Document) -> Classification:
        """One call."""
        if document.url == "late":
            raise ClassifierError(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer within 100 ms", 1)
        if document.url == "odd":
            raise ClassificationError(DecodeReason.WRONG_TYPE, "the answer is of a later version")
        document.to_protobuf()
        return self.classifier.classify([document], [None])[0]


@pytest.fixture
def client(store: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """What `clf classify --grpc` connects with."""
    made = FakeClient(Classifier(load_models(Store(store))))
    monkeypatch.setattr("worker.commands.classify_remote.ClassifierClient", made)
    return made


def test_a_server_gives_the_same_lines(store: Path, client: FakeClient) -> None:
    """With --grpc the output is that without, to the byte and in order, and no model is needed here."""
    here = clf("classify", "--models", store, given=lines(DOCUMENTS * 20))
    there = clf("classify", "--grpc", "a:1,b:2", "--models", store / "none", given=lines(DOCUMENTS * 20))
    assert (there.exit_code, there.stdout_bytes) == (here.exit_code, here.stdout_bytes)
    assert client.made[:2] == ["a:1,b:2", 1.0]
    assert client.closed


@pytest.mark.usefixtures("client")
def test_what_gets_no_answer_is_reported() -> None:
    """Code and words of the server stand beside file and line; the others come out; exit code 1."""
    given = lines([FOOTBALL, Document("late", "", "secret"), MONEY, Document("odd", "", "secret")])
    result = clf("classify", "--grpc", "a:1", given=given)
    assert result.exit_code == 1
    assert [json.loads(line)["url"] for line in result.stdout.splitlines()] == [FOOTBALL.url, MONEY.url]
    assert result.stderr.splitlines()[:2] == [
        "<stdin>, line 2: no answer within 100 ms (deadline_exceeded)",
        "<stdin>, line 4: the answer is of a later version (wrong_type)",
    ]
    assert "secret" not in result.stderr


def cannot_start(result: Result) -> str:
    """The one line that a command says which cannot start."""
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_no_server_answers(client: FakeClient) -> None:
    """Nothing is read; the one line names the target, and what is often wrong."""
    client.ready = False
    told = cannot_start(clf("classify", "--grpc", "nobody.example:1", given=lines(DOCUMENTS)))
    assert told == "Error: No server answers at nobody.example:1. Does `clf serve` run there, with or without TLS?\n"
    assert client.closed


@pytest.mark.parametrize("target", ["host", "host:port", "http://host:1", "consul://agent", "dns:///x"])
def test_a_target_that_is_none(target: str) -> None:
    """The line says how targets are written."""
    assert ": use " in cannot_start(clf("classify", "--grpc", target))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("cert", "key"), "--grpc-cert and --grpc-key need --grpc-ca"),
        (("key",), "--grpc-cert and --grpc-key need --grpc-ca"),
        (("ca", "cert"), "--grpc-cert and --grpc-key go together"),
        (("ca", "key"), "--grpc-cert and --grpc-key go together"),
        (("ca", "cert", "empty"), "neither file may be empty"),
    ],
)
@pytest.mark.usefixtures("client")
def test_files_that_do_not_go_together(tmp_path: Path, given: tuple[str, ...], told: str) -> None:
    """It is told before gRPC is given something that it would abort the process for."""
    options: list[str | Path] = []
    for name in given:
        path = tmp_path / name
        path.write_bytes(b"" if name == "empty" else b"pem")
        options += [f"--grpc-{'key' if name == 'empty' else name}", path]
    assert told in cannot_start(clf("classify", "--grpc", "a:1", *options, given=lines([FOOTBALL])))


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """It is wrong usage, as for any other file."""
    result = clf("classify", "--grpc", "a:1", "--grpc-ca", tmp_path / "none")
    assert result.exit_code == 2
    assert "--grpc-ca" in result.stderr
