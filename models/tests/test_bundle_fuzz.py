"""Damage of any kind, hidden behind right hashes: a bundle loads or is refused, and nothing else ever happens."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import BundleContent, BundleError, write_bundle
from models.files import blake3_of, map_file, sha256_of
from models.golden import GOLDEN_NAME
from models.manifest import INDEX_NAME, MANIFEST_NAME, digest_of
from models.model import load_model
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


def _seal(directory: Path, values: dict[str, Any]) -> None:
    sealed = values | {"digest": digest_of(values)}
    (directory / MANIFEST_NAME).write_text(json.dumps(sealed), encoding="utf-8")


def _load_or_refuse(directory: Path) -> str:
    try:
        model = load_model(directory)
    except BundleError as error:
        return error.reason
    predictions = model.predict(["The museum.", ""])
    assert [len(prediction.classes) for prediction in predictions] == [len(model.classes), 0]
    return "loaded"


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_bytes_in_any_file(sound: Path, data: st.DataObject) -> None:
    """A data file with some bytes replaced, and a manifest that agrees with it, loads or is refused."""
    name = data.draw(st.sampled_from(DATA_FILES))
    with _restored(sound):
        original = (sound / name).read_bytes()
        position = data.draw(st.integers(0, len(original) - 1))
        inserted = data.draw(st.binary(min_size=1, max_size=8))
        changed = original[:position] + inserted + original[position + len(inserted) :]
        (sound / name).write_bytes(changed)
        values = json.loads((sound / MANIFEST_NAME).read_bytes())
        path = sound / name
        hashes = {"blake3": blake3_of(map_file(path)), "sha256": sha256_of(path)}
        values["files"][name] = hashes | {"bytes": len(changed)}
        _seal(sound, values)
        assert _load_or_refuse(sound)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), value=JSON)
def test_any_value_in_any_field(sound: Path, data: st.DataObject, value: object) -> None:
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
        assert _load_or_refuse(sound)


def test_the_undamaged_bundle_loads(sound: Path) -> None:
    """What the examples put right again is whole, so that each of them began with a sound bundle."""
    assert _load_or_refuse(sound) == "loaded"
