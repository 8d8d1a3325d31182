"""`clf models keygen|sign|push`, and `--trusted-keys` and URLs wherever models are loaded."""

import io
import json
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from models.store import Store, StoreError
from worker.cli import main
from worker.commands.progress import Copies
from worker.config import Scoring
from worker.supervisor import copy_models
from worker.tests.tools import clf, small_store

DOCUMENT = b'{"url": "u", "text": "A football goal.", "lang": "en"}\n'


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A local store with an active English model, named by CLF_MODELS; copies of others go below the test's folder."""
    monkeypatch.chdir(tmp_path)
    root = small_store(tmp_path / "store")
    monkeypatch.setenv("CLF_MODELS", str(root))
    monkeypatch.setenv("CLF_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLF_TRUSTED_KEYS", raising=False)
    return Store(root)


def models(*arguments: object) -> Result:
    """Call `clf models`."""
    return CliRunner().invoke(main, ["models", *map(str, arguments)])


@pytest.mark.usefixtures("store")
def test_from_a_key_to_a_model_that_others_load(tmp_path: Path) -> None:
    """Keygen, sign, push, activate, verify, list and classify, as the README tells it."""
    url = f"file://{tmp_path}/published"
    assert models("keygen", "release").exit_code == 0
    assert models("sign", "eng", "v1", "--key", "release.pem").stdout == "Version v1 of en is signed.\n"
    trust = ("--trusted-keys", "release.pub.pem")
    pushed = models("push", "en", "v1", url)
    assert (pushed.exit_code, pushed.stdout) == (0, f"Version v1 of en was copied: {url}\n")
    assert "is there already" in models("push", "en", "v1", url).stdout
    activated = models("activate", "en", "v1", "--models", url, *trust)
    assert (activated.exit_code, activated.stderr) == (0, "")
    assert models("verify", "--models", url, *trust).stdout.split()[:3] == ["ok", "en", "v1"]
    assert json.loads(models("list", "--models", url, "--json").stdout)[0]["active"] is True
    assert json.loads(models("show", "en", "--models", url, "--json").stdout)["version"] == "v1"
    here = clf("classify", given=DOCUMENT)
    there = clf("classify", "--models", url, *trust, given=DOCUMENT)
    assert (there.exit_code, there.stdout) == (0, here.stdout)
    assert (tmp_path / "cache").is_dir()


@pytest.mark.usefixtures("store")
def test_trusted_keys_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify, activate and classify refuse a model that is not signed, by option or environment, and say why."""
    models("keygen", "release")
    models("keygen", "other")
    trust = ("--trusted-keys", "release.pub.pem")
    for result in (models("verify", *trust), models("activate", "en", "v1", *trust), clf("classify", *trust)):
        assert result.exit_code == 3
        assert "refused (unsigned)" in result.output
    models("sign", "en", "v1", "--key", "other.pem")
    monkeypatch.setenv("CLF_TRUSTED_KEYS", str(tmp_path / "release.pub.pem"))
    for result in (models("verify"), models("activate", "en", "v1"), clf("classify", given=DOCUMENT)):
        assert result.exit_code == 3
        assert "refused (bad_signature)" in result.output
    models("sign", "en", "v1", "--key", "release.pem")
    assert models("verify").exit_code == 0
    assert models("verify", "--trusted-keys", "release.pem").exit_code == 3, "a private key is none to trust"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("push", "en", "v1", "elsewhere"), 2, "no URL"),
        (("push", "en", "v1", "s3://bucket/models"), 3, "s3fs"),
        (("push", "en", "v9", "memory://m"), 3, "no version 'v9'"),
        (("push", "en", "v1", "memory://m", "--models", "memory://n"), 3, "local store"),
        (("sign", "en", "v1", "--key", "store"), 2, "is a directory"),
        (("sign", "en", "v1", "--models", "memory://n", "--key", "k.pem"), 3, "local store"),
        (("sign", "en", "v1", "--key", "k.pub.pem"), 3, "no private key"),
        (("sign", "en", "v9", "--key", "k.pem"), 3, "no version 'v9'"),
        (("keygen", "k"), 3, "never overwritten"),
        (("list", "--models", "memory://nothing"), 3, "no store at memory://nothing"),
        (("list", "--models", "teapot://x"), 3, "teapot"),
    ],
)
def test_what_cannot_be_done(arguments: tuple[str, ...], code: int, said: str) -> None:
    """Every refusal is a sentence and the documented exit code."""
    models("keygen", "k")
    result = models(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_damaged_model_is_not_signed(store: Store) -> None:
    """A signature vouches for something: the model is verified first."""
    models("keygen", "k")
    weights = store.path("en", "v1") / "weights.npy"
    weights.write_bytes(weights.read_bytes()[:-1])
    result = models("sign", "en", "v1", "--key", "k.pem")
    assert result.exit_code == 3
    assert "size_mismatch" in result.stderr
    assert not (store.path("en", "v1") / "manifest.sig").exists()


def test_the_store_is_away(store: Store, tmp_path: Path) -> None:
    """`clf classify` goes on with its copies, and says so in one line on standard error."""
    url = f"file://{tmp_path}/published"
    models("push", "en", "v1", url)
    models("activate", "en", "v1", "--models", url)
    (tmp_path / "published").rename(tmp_path / "away")
    result = clf("classify", "--models", url, given=DOCUMENT)
    assert (result.exit_code, result.stdout) == (0, clf("classify", given=DOCUMENT).stdout)
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"Warning: There is no store at {url}.")
    assert store.active("en") == "v1"


def test_models_are_copied_before_servers_are_started(store: Store, tmp_path: Path) -> None:
    """`clf serve --processes` copies first, however long it takes; what is refused starts no server."""
    url = f"file://{store.root}"
    copy_models(Scoring(models=url, model_cache=tmp_path / "c"))
    assert len(list((tmp_path / "c").glob("*/en/v1/manifest.json"))) == 1
    copy_models(Scoring(models=str(tmp_path / "nothing"), model_cache=tmp_path / "d"))
    copy_models(Scoring(models="memory://nothing", scoring=False))
    models("keygen", "k")
    with pytest.raises(StoreError, match="unsigned"):
        copy_models(Scoring(models=url, model_cache=tmp_path / "c", trusted_keys=tmp_path / "k.pub.pem"))


def test_a_person_sees_how_far_a_copy_is() -> None:
    """On a terminal there is a bar with bytes and speed; elsewhere nothing is written."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, expected in ((Terminal(), "copying s3://bucket/[en]"), (io.StringIO(), "")):
        with (
            patch("sys.stderr", stream),
            patch.dict("os.environ", {"TERM": "xterm", "COLUMNS": "120"}),
            Copies().copying("s3://bucket/[en]", 2_000_000) as advance,
        ):
            advance(1_000_000)
        shown = stream.getvalue()
        assert expected in shown
        assert ("1.0/2.0 MB" in shown) is bool(expected)
