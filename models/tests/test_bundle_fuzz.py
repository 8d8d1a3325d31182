"""Damage of any kind, hidden behind right hashes: a bundle loads or is refused, and nothing else ever happens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle, BundleContent, BundleError, write_bundle
from models.choice import SCORER_VARIABLE
from models.files import blake3_of, map_file, sha256_of
from models.golden import GOLDEN_NAME
from models.manifest import INDEX_NAME, MANIFEST_NAME, digest_of
from models.model import load_model
from models.native import NativeScorer, why_unavailable
from models.reader import CHARACTERS_NAME, IDF_NAME, INTERCEPT_NAME, OFFSETS_NAME, TERMS_NAME, WEIGHTS_NAME

DATA_FILES = (
    TERMS_NAME,
    OFFSETS_NAME,
    WEIGHTS_NAME,
    INTERCEPT_NAME,
    IDF_NAME,
    CHARACTERS_NAME,
    INDEX_NAME,
    GOLDEN_NAME,
)
without_kernel = pytest.mark.skipif(why_unavailable() is not None, reason="there is no kernel here")
SCORERS = ("reference", pytest.param("native", marks=without_kernel))
# What damage may make of a number: bits, neighbours, ends of ranges, sizes.
ENDS = st.sampled_from([0, 1, 2, 31, 32, 255, 2**16, 2**21, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
VALUES = ENDS | st.integers(0, 2**64 - 1)
TEXTS = ["The museum.", "", "\u03a3'\u0130\U0001f600\ud800", "the striker and the goalkeeper " * 3000]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, content: BundleContent) -> Path:
    """A bundle that every example damages and puts right again."""
    directory = tmp_path_factory.mktemp("fuzz") / "v1"
    write_bundle(directory, "v1", content)
    return directory


@contextmanager
def _restored(directory: Path) -> Iterator[None]:
    before = {path: path.read_bytes() for path in directory.iterdir()}
    try:
        yield
    finally:
        for path, data in before.items():
            path.write_bytes(data)


def _files_of(directory: Path) -> list[str]:
    """There is no index where there is no kernel."""
    return [name for name in DATA_FILES if (directory / name).exists()]


def _seal(directory: Path, values: dict[str, Any]) -> None:
    sealed = values | {"digest": digest_of(values)}
    (directory / MANIFEST_NAME).write_text(json.dumps(sealed), encoding="utf-8")


def _replace(directory: Path, name: str, data: bytes) -> None:
    path = directory / name
    path.write_bytes(data)
    values = json.loads((directory / MANIFEST_NAME).read_bytes())
    values["files"][name] = {"blake3": blake3_of(map_file(path)), "sha256": sha256_of(path), "bytes": len(data)}
    _seal(directory, values)


def _load_or_refuse(directory: Path, scorer: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SCORER_VARIABLE, scorer)
        try:
            model = load_model(directory)
        except BundleError as error:
            return error.reason
    predictions = model.predict(["The museum.", ""])
    assert [len(prediction.classes) for prediction in predictions] == [len(model.classes), 0]
    return "loaded"


def _score_or_refuse(directory: Path) -> str:
    """Without the golden documents, which find most damage before a text comes to it."""
    try:
        scorer = NativeScorer(Bundle.open(directory))
    except BundleError as error:
        return error.reason
    scores = scorer.score(TEXTS)
    assert scores.decisions.shape == (len(TEXTS), len(scorer.classes))
    return "scored"


@pytest.mark.parametrize("scorer", SCORERS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_bytes_in_any_file(sound: Path, scorer: str, data: st.DataObject) -> None:
    """A data file with some bytes replaced, and a manifest that agrees with it, loads or is refused."""
    name = data.draw(st.sampled_from(_files_of(sound)))
    with _restored(sound):
        original = (sound / name).read_bytes()
        position = data.draw(st.integers(0, len(original) - 1))
        inserted = data.draw(st.binary(min_size=1, max_size=8))
        _replace(sound, name, original[:position] + inserted + original[position + len(inserted) :])
        assert _load_or_refuse(sound, scorer)
        if scorer == "native":
            assert _score_or_refuse(sound)


@without_kernel
@pytest.mark.parametrize("name", [INDEX_NAME, CHARACTERS_NAME])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_numbers_in_what_the_kernel_reads(sound: Path, name: str, data: st.DataObject) -> None:
    """An index or a character table with numbers replaced or cut off is refused, or texts are scored with it."""
    with _restored(sound):
        numbers = np.load(sound / name)
        for _ in range(data.draw(st.integers(1, 5))):
            # The first numbers say where the others are.
            position = data.draw(st.integers(0, min(40, len(numbers) - 1)) | st.integers(0, len(numbers) - 1))
            numbers[position] = data.draw(VALUES) & int(np.iinfo(numbers.dtype).max)
        if data.draw(st.integers(0, 9)) == 0:
            numbers = numbers[: data.draw(st.integers(1, len(numbers)))]
        np.save(sound / name, numbers)
        _replace(sound, name, (sound / name).read_bytes())
        assert _score_or_refuse(sound)


@pytest.mark.parametrize("scorer", SCORERS)
@settings(max_examples=100, deadline=None)
@given(data=st.data(), value=JSON)
def test_any_value_in_any_field(sound: Path, scorer: str, data: st.DataObject, value: object) -> None:
    """A manifest with any field replaced by any value, and a right digest, loads or is refused."""
    with _restored(sound):
        values = json.loads((sound / MANIFEST_NAME).read_bytes())
        parent = values
        name = data.draw(st.sampled_from(sorted(parent)))
        while isinstance(parent[name], dict) and parent[name] and data.draw(st.booleans()):
            parent = parent[name]
            name = data.draw(st.sampled_from(sorted(parent)))
        parent[name] = value
        _seal(sound, values)
        assert _load_or_refuse(sound, scorer)


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_undamaged_bundle_loads(sound: Path, scorer: str) -> None:
    """What the examples put right again is whole, so that each of them began with a sound bundle."""
    assert _load_or_refuse(sound, scorer) == "loaded"
    if scorer == "native":
        assert _score_or_refuse(sound) == "scored"
