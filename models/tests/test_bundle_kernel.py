"""What a bundle holds for the native scorer: the character table, the index, hashes quick enough, terms left alone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from blake3 import blake3

from models import files, writer
from models.bundle import Bundle, BundleContent, BundleError, BundleProblem, VectorizerConfig, write_bundle
from models.manifest import INDEX_NAME, PIPELINE_NAME
from models.model import load_model
from models.native import why_unavailable
from models.reader import CHARACTERS_NAME, IDF_NAME, WEIGHTS_NAME, verify_sha256_of_files
from models.terms import TermTable, encode_terms

if TYPE_CHECKING:
    from models.tests.conftest import Tamper

INDEX = np.arange(7, dtype=np.uint64)


def _refusal(directory: Path) -> BundleProblem:
    with pytest.raises(BundleError) as caught:
        Bundle.open(directory)
    assert caught.value.detail.endswith(".")
    return caught.value.reason


@pytest.fixture
def indexed(bundle: Path) -> Path:
    """A bundle with an index; without the compiled kernel there is none to test."""
    if (missing := why_unavailable()) is not None:
        pytest.skip(f"no native scorer: {missing}")
    return bundle


def test_index_is_read_only(indexed: Path) -> None:
    """The index cannot be written to, nor can the file through it."""
    index = Bundle.open(indexed).index
    assert index is not None
    assert not index.flags.writeable


def test_changed_index(indexed: Path) -> None:
    """A flipped bit in the index is refused though the digest does not cover it."""
    data = bytearray((indexed / INDEX_NAME).read_bytes())
    data[-1] ^= 1
    (indexed / INDEX_NAME).write_bytes(data)
    assert _refusal(indexed) is BundleProblem.HASH_MISMATCH


@pytest.mark.parametrize(
    "array",
    [INDEX.astype("<i8"), INDEX.astype(">u8"), INDEX.reshape(1, 7), INDEX[:0], np.array(3, dtype=np.uint64)],
    ids=["signed", "big-endian", "two dimensions", "empty", "no dimension"],
)
def test_index_of_another_form(indexed: Path, tamper: "Tamper", array: object) -> None:
    """An index must be one row of little-endian 64-bit numbers."""
    tamper.replace_array(INDEX_NAME, array)
    assert _refusal(indexed) is BundleProblem.ARRAY_INVALID


def test_index_longer_than_its_file(indexed: Path, tamper: "Tamper") -> None:
    """A length that only the header knows is bounded by the size of the file."""
    tamper.replace_array(INDEX_NAME, INDEX)
    data = (indexed / INDEX_NAME).read_bytes()
    tamper.replace(INDEX_NAME, data.replace(b"(7,), }      ", b"(10000000,),}"))
    assert len((indexed / INDEX_NAME).read_bytes()) == len(data)
    assert _refusal(indexed) is BundleProblem.ARRAY_INVALID


def test_without_the_compiled_kernel(tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no kernel a bundle is written without an index, and it has the same digest as one with it."""
    with_kernel = write_bundle(tmp_path / "a" / "v1", "v1", content)
    monkeypatch.setattr("models.native._missing", "no module")
    without = write_bundle(tmp_path / "b" / "v1", "v1", content)
    assert INDEX_NAME not in without.files
    assert without.digest == with_kernel.digest


def test_settings_for_the_reference_scorer_alone(tmp_path: Path, content: BundleContent) -> None:
    """A model that no kernel can follow says why, and carries nothing for one."""
    accents = replace(content, vectorizer=VectorizerConfig(ngram_range=(1, 2), strip_accents="unicode"))
    manifest = write_bundle(tmp_path / "v1", "v1", accents)
    opened = Bundle.open(tmp_path / "v1")
    assert manifest.reference_only == "strip_accents is 'unicode'"
    assert not {CHARACTERS_NAME, INDEX_NAME} & manifest.files.keys()
    assert (opened.characters, opened.index, accents.characters, accents.index) == (None, None, None, None)
    assert load_model(tmp_path / "v1").scorer.name == "reference"


def test_missing_reason_for_the_reference_scorer_alone(
    tmp_path: Path, content: BundleContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that promises what no kernel can do is refused when it is written, too."""
    accents = replace(content, vectorizer=VectorizerConfig(ngram_range=(1, 2), strip_accents="unicode"))
    monkeypatch.setattr(writer, "reference_only", lambda _config: None)
    with pytest.raises(BundleError) as caught:
        write_bundle(tmp_path / "v1", "v1", accents)
    assert caught.value.reason is BundleProblem.MANIFEST_INVALID


def _spoil(table: "np.ndarray[Any, Any]", how: str) -> "np.ndarray[Any, Any]":
    spoiled = table.copy()
    if how == "layout":
        spoiled[0] = 2
    elif how == "pages":
        spoiled[1] += 1
    elif how == "huge":
        spoiled[1] = spoiled[2] = 2**32 - 1
    elif how == "page number":
        spoiled[3 + 5] = spoiled[1]
    elif how == "lowered too far":
        spoiled[3 + 4352 + ord("a")] |= 2**21 - 1 - 97 - 5
    elif how == "record without entry":
        spoiled[-5] += 1
    elif how == "entry without record":
        spoiled[3 + 4352 + ord("a")] |= 1 << 25
    elif how == "four characters":
        spoiled[-4] = 4
    elif how == "no such character":
        spoiled[-3] = 0x110000
    else:
        spoiled = spoiled[: {"short": 100, "half": -6}[how]]
    return spoiled


@pytest.mark.parametrize(
    "how",
    [
        "layout", "pages", "huge", "page number", "lowered too far", "record without entry", "entry without record",
        "four characters", "no such character", "short", "half",
    ],
)  # fmt: skip
def test_character_table_is_unsound(tamper: "Tamper", how: str) -> None:
    """A table in which a look-up would lead astray is refused."""
    tamper.replace_array(CHARACTERS_NAME, _spoil(np.load(tamper.directory / CHARACTERS_NAME), how))
    assert _refusal(tamper.directory) is BundleProblem.ARRAY_INVALID


@pytest.mark.parametrize("dtype", ["<i4", ">u4", "<u8"])
def test_character_table_of_another_type(tamper: "Tamper", dtype: str) -> None:
    """The table is little-endian uint32 and nothing else."""
    tamper.replace_array(CHARACTERS_NAME, np.load(tamper.directory / CHARACTERS_NAME).astype(dtype))
    assert _refusal(tamper.directory) is BundleProblem.ARRAY_INVALID


def test_data_that_is_not_aligned(tamper: "Tamper") -> None:
    """Data that does not begin at a multiple of 64 bytes is refused: scorers read vectors."""
    data = (tamper.directory / WEIGHTS_NAME).read_bytes()
    tamper.replace(WEIGHTS_NAME, data[:8] + b"\x77\x00" + data[10:127] + b" \n" + data[128:])
    assert _refusal(tamper.directory) is BundleProblem.ARRAY_INVALID


def test_hashes_in_the_manifest(tmp_path: Path, content: BundleContent) -> None:
    """Every file but the manifest has a BLAKE3, which opening checks, and a SHA-256, which `sha256sum` knows."""
    manifest = write_bundle(tmp_path / "v1", "v1", content, pipeline=[1])
    assert {CHARACTERS_NAME, PIPELINE_NAME} < manifest.files.keys()
    for name, entry in manifest.files.items():
        data = (tmp_path / "v1" / name).read_bytes()
        assert entry.blake3 == blake3(data).hexdigest()
    verify_sha256_of_files(tmp_path / "v1", manifest)


def test_wrong_sha256_is_found_on_request(tamper: "Tamper") -> None:
    """Opening leaves SHA-256 alone; asking for it finds the file that has another."""
    values = tamper.read()
    values["files"][IDF_NAME]["sha256"] = "0" * 64
    tamper.write(values)
    manifest = Bundle.open(tamper.directory).manifest
    with pytest.raises(BundleError, match=r"idf\.npy does not have the SHA-256") as caught:
        verify_sha256_of_files(tamper.directory, manifest)
    assert caught.value.reason is BundleProblem.HASH_MISMATCH


def test_many_threads_give_the_same_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file has the same BLAKE3 however many threads read it."""
    path = tmp_path / "large"
    path.write_bytes(np.arange(500_000, dtype=np.uint64).tobytes())
    many = files.blake3_of(files.map_file(path))
    monkeypatch.setattr(files, "_MANY_THREADS_BYTES", 1 << 60)
    assert files.blake3_of(files.map_file(path)) == many == blake3(path.read_bytes()).hexdigest()


def test_weights_whose_squares_overflow(tmp_path: Path, content: BundleContent) -> None:
    """Weights beyond the root of the largest float32 are finite all the same."""
    weights = content.weights.copy()
    weights[list(content.terms).index("striker")] = 3e38
    changed = replace(content, weights=weights, golden_texts=("The museum opened.",))
    write_bundle(tmp_path / "v1", "v1", changed)
    assert np.array_equal(Bundle.open(tmp_path / "v1").weights, weights)


def _table(*terms: str) -> TermTable:
    blob, offsets = encode_terms(terms)
    return TermTable(np.frombuffer(blob, dtype=np.uint8), offsets)


def test_term_table_is_a_sequence() -> None:
    """A term table counts, gives single terms and slices, and finds terms, as any sequence does."""
    table = _table("a", "", "café", "\U0001f600")
    assert len(table) == 4
    assert (table[2], table[-1], table[1:3]) == ("café", "\U0001f600", ("", "café"))
    assert list(table) == ["a", "", "café", "\U0001f600"]
    assert "café" in table
    assert table.index("") == 1


def test_a_model_of_the_empty_term(tmp_path: Path, content: BundleContent) -> None:
    """A term file without a byte cannot be mapped, and opens all the same."""
    single = replace(content, terms=("",), weights=content.weights[:1], idf=np.ones(1, dtype=np.float32))
    write_bundle(tmp_path / "v1", "v1", single)
    assert list(Bundle.open(tmp_path / "v1").terms) == [""]
