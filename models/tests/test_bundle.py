"""Opening a bundle: what is sound opens, and everything else is refused with its reason."""

import json
import mmap
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from models.bundle import Bundle, BundleContent, BundleError, BundleProblem, Fallback, read_manifest
from models.choice import SCORER_VARIABLE
from models.golden import GOLDEN_NAME
from models.manifest import MANIFEST_NAME
from models.model import load_model
from models.reader import CHARACTERS_NAME, IDF_NAME, INTERCEPT_NAME, OFFSETS_NAME, TERMS_NAME, WEIGHTS_NAME

if TYPE_CHECKING:
    from models.tests.conftest import Tamper

DATA_FILES = (TERMS_NAME, OFFSETS_NAME, WEIGHTS_NAME, INTERCEPT_NAME, IDF_NAME, CHARACTERS_NAME, GOLDEN_NAME)


def _is_mapped(array: "np.ndarray[Any, Any]") -> bool:
    """Whether an array lies in a mapped file."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


def _refusal(directory: Path) -> BundleError:
    """The refusal to load `directory`; its message is a sentence that says what to do."""
    with pytest.raises(BundleError) as caught:
        load_model(directory)
    assert caught.value.detail.endswith(".")
    assert str(caught.value) == caught.value.detail
    return caught.value


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference scorer serves: the native one reads its index and leaves the term table alone."""
    monkeypatch.setenv(SCORER_VARIABLE, "reference")


def test_gives_back_what_was_written(bundle: Path, content: BundleContent) -> None:
    """An opened bundle holds exactly the values that training handed over."""
    opened = Bundle.open(bundle)
    manifest = opened.manifest
    assert (opened.classes, opened.vectorizer, opened.calibration) == (
        content.classes,
        content.vectorizer,
        content.calibration,
    )
    assert tuple(opened.terms) == tuple(content.terms)
    assert (manifest.lang, manifest.version, manifest.terms) == ("en", "v1", len(content.terms))
    assert (manifest.thresholds, manifest.fallback) == (content.thresholds, Fallback.BEST)
    assert (manifest.training, manifest.metrics) == (content.training, content.metrics)
    assert set(manifest.libraries) == {"python", "unicode", "numpy", "scipy", "scikit-learn"}
    assert opened.golden.texts == tuple(content.golden_texts)


def test_arrays_are_mapped_and_read_only(bundle: Path, content: BundleContent) -> None:
    """Arrays equal those handed over, come from the file by mapping, and cannot be written to."""
    opened = Bundle.open(bundle)
    assert content.idf is not None
    assert opened.idf is not None
    assert content.characters is not None
    assert opened.characters is not None
    for found, given in (
        (opened.weights, content.weights),
        (opened.intercept, content.intercept),
        (opened.idf, content.idf),
        (opened.characters, content.characters),
    ):
        assert np.array_equal(found, given)
        assert _is_mapped(found)
        assert not found.flags.writeable


def test_manifest_is_for_people_too(bundle: Path) -> None:
    """The manifest is indented JSON that states its format and every file's hash and size."""
    text = (bundle / MANIFEST_NAME).read_text(encoding="utf-8")
    values = json.loads(text)
    assert text.startswith('{\n  "')
    assert (values["format"], values["format_version"]) == ("clf-bundle", 2)
    assert {name: entry["bytes"] for name, entry in values["files"].items()} == {
        path.name: path.stat().st_size for path in bundle.iterdir() if path.name != MANIFEST_NAME
    }


def test_reads_a_manifest_alone(bundle: Path) -> None:
    """Listings need no other file than the manifest."""
    (bundle / WEIGHTS_NAME).unlink()
    assert read_manifest(bundle).metrics["micro_f1"] == 0.9375


def test_no_directory(tmp_path: Path) -> None:
    """A path that does not exist is refused."""
    assert _refusal(tmp_path / "nothing").reason is BundleProblem.MANIFEST_MISSING


def test_no_manifest(bundle: Path) -> None:
    """A directory without a manifest is refused."""
    (bundle / MANIFEST_NAME).unlink()
    assert _refusal(bundle).reason is BundleProblem.MANIFEST_MISSING


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"\xff\xfe{}", b'{"a": NaN}', b'{"a": Infinity}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"],
    ids=["empty", "half", "not UTF-8", "NaN", "Infinity", "too deep", "number too long"],
)
def test_manifest_is_not_json(bundle: Path, data: bytes) -> None:
    """A manifest that is not strict JSON is refused."""
    (bundle / MANIFEST_NAME).write_bytes(data)
    assert _refusal(bundle).reason is BundleProblem.MANIFEST_NOT_JSON


def test_manifest_is_too_large(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest beyond the limit is refused before it is parsed."""
    monkeypatch.setattr("models.reader.MAX_MANIFEST_BYTES", 100)
    assert _refusal(bundle).reason is BundleProblem.SIZE_MISMATCH


@pytest.mark.parametrize("value", [[], "text", 3, None])
def test_manifest_is_not_an_object(bundle: Path, value: object) -> None:
    """JSON of another kind is refused."""
    (bundle / MANIFEST_NAME).write_text(json.dumps(value), encoding="utf-8")
    assert _refusal(bundle).reason is BundleProblem.MANIFEST_INVALID


def test_wrong_format(tamper: "Tamper") -> None:
    """A manifest of something else is refused."""
    tamper.set(format="other-bundle")
    assert _refusal(tamper.directory).reason is BundleProblem.WRONG_FORMAT


@pytest.mark.parametrize(("version", "advice"), [(3, "Upgrade clf"), (1, "Train the model again")])
def test_other_format_version(tamper: "Tamper", version: int, advice: str) -> None:
    """A newer or an older format is refused with what to do about it."""
    tamper.set(format_version=version)
    refusal = _refusal(tamper.directory)
    assert refusal.reason is BundleProblem.FORMAT_VERSION
    assert advice in refusal.detail


@pytest.mark.parametrize("name", ["lang", "version", "created", "classes", "terms", "thresholds", "fallback",
                                  "calibration", "vectorizer", "reference_only", "training", "libraries", "metrics",
                                  "files", "digest", "format_version"])  # fmt: skip
def test_missing_field(tamper: "Tamper", name: str) -> None:
    """Every field is needed, and a missing one is named."""
    values = tamper.read()
    del values[name]
    (tamper.directory / MANIFEST_NAME).write_text(json.dumps(values), encoding="utf-8")
    refusal = _refusal(tamper.directory)
    assert refusal.reason is BundleProblem.MANIFEST_INVALID
    assert repr(name) in refusal.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"lang": "english"}, {"lang": "../en"}, {"lang": 3},
        {"version": "../v1"}, {"version": ".hidden"}, {"version": "a" * 200},
        {"classes": []}, {"classes": ["a", "a", "b"]}, {"classes": ["a", "b", ""]}, {"classes": ["a", "b", "\x1b[2J"]},
        {"classes": ["a", "b", "\ud800"]}, {"classes": "abc"}, {"classes": ["a", "b", 3]}, {"classes": ["a", "b"]},
        {"terms": 0}, {"terms": -4}, {"terms": True}, {"terms": 2.5},
        {"thresholds": [0.5]}, {"thresholds": [0.5, 0.5, "0.5"]}, {"thresholds": [0.5, 0.5, True]}, {"thresholds": 1},
        {"fallback": "worst"}, {"calibration": []}, {"calibration": {"slope": [1, 2, 3]}},
        {"calibration": {"slope": [1], "intercept": [1, 2, 3]}}, {"calibration": {"slope": [1, 2, 3], "intercept": []}},
        {"training": []}, {"metrics": None}, {"files": []}, {"files": {TERMS_NAME: "x"}},
        {"files": {TERMS_NAME: {"blake3": "ab", "sha256": 1, "bytes": 2}}},
        {"files": {TERMS_NAME: {"blake3": "ab", "sha256": "ab", "bytes": "2"}}},
        {"files": {TERMS_NAME: {"sha256": "ab", "bytes": 2}}}, {"files": {TERMS_NAME: {"blake3": None}}},
        {"reference_only": "no kernel follows it"}, {"reference_only": False},
    ],
    ids=repr,
)  # fmt: skip
def test_wrong_value(tamper: "Tamper", changes: dict[str, Any]) -> None:
    """A field of the wrong type, length or form is refused."""
    tamper.set(**changes)
    assert _refusal(tamper.directory).reason is BundleProblem.MANIFEST_INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("analyzer", "callable"), ("ngram_range", [1]), ("ngram_range", [2, 1]), ("ngram_range", [0, 1]),
        ("ngram_range", [1, "2"]), ("ngram_range", [1, 10**9]), ("token_pattern", None),
        ("lowercase", "yes"), ("strip_accents", "all"),
        ("stop_words", "english"), ("stop_words", [1]), ("norm", "max"), ("use_idf", 1), ("binary", None),
    ],
)  # fmt: skip
def test_wrong_vectorizer_value(tamper: "Tamper", name: str, value: object) -> None:
    """A setting that no vectorizer has is refused."""
    tamper.set(vectorizer=tamper.read()["vectorizer"] | {name: value})
    assert _refusal(tamper.directory).reason is BundleProblem.MANIFEST_INVALID


@pytest.mark.parametrize("pattern", ["(", "(a)(b)", "a{99999999999}"])
def test_unusable_token_pattern(tamper: "Tamper", pattern: str) -> None:
    """An expression that cannot be compiled, or has too many groups, is refused."""
    vectorizer = tamper.read()["vectorizer"] | {"token_pattern": pattern}
    tamper.set(vectorizer=vectorizer, reference_only="no run of word characters")
    assert _refusal(tamper.directory).reason is BundleProblem.VECTORIZER_INVALID


@pytest.mark.parametrize("threshold", ["1e999", "-1e999", "1" + "0" * 400])
def test_threshold_is_not_finite(tamper: "Tamper", threshold: str) -> None:
    """A threshold that overflows to infinity is refused, though JSON can express it."""
    tamper.set(thresholds=[0.5, 0.5, 0.123456789])
    path = tamper.directory / MANIFEST_NAME
    path.write_text(path.read_text(encoding="utf-8").replace("0.123456789", threshold), encoding="utf-8")
    assert _refusal(tamper.directory).reason is BundleProblem.NOT_FINITE


@pytest.mark.parametrize("changes", [{"metrics": {"micro_f1": 0.99}}, {"thresholds": [0.1, 0.1, 0.1]}, {"files": {}}])
def test_digest_covers_the_content(bundle: Path, changes: dict[str, object]) -> None:
    """A manifest that was edited after training is refused."""
    path = bundle / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes), encoding="utf-8")
    assert _refusal(bundle).reason is BundleProblem.DIGEST_MISMATCH


@pytest.mark.parametrize("name", ["version", "created"])
def test_digest_leaves_name_and_age_out(bundle: Path, name: str) -> None:
    """The same content under another name or from another day has the same digest."""
    before = load_model(bundle).digest
    path = bundle / MANIFEST_NAME
    values = json.loads(path.read_bytes()) | {name: "v2"}
    path.write_text(json.dumps(values), encoding="utf-8")
    assert load_model(bundle).digest == before


@pytest.mark.parametrize("name", DATA_FILES)
def test_missing_file(bundle: Path, name: str) -> None:
    """A file that the manifest lists and nobody copied is refused."""
    (bundle / name).unlink()
    refusal = _refusal(bundle)
    assert refusal.reason is BundleProblem.FILE_MISSING
    assert name in refusal.detail


@pytest.mark.parametrize("name", DATA_FILES)
def test_unlisted_file(tamper: "Tamper", name: str) -> None:
    """A needed file without an entry in the manifest is refused: its hash would go unchecked."""
    values = tamper.read()
    del values["files"][name]
    tamper.write(values)
    refusal = _refusal(tamper.directory)
    assert refusal.reason is BundleProblem.FILE_MISSING
    assert name in refusal.detail


@pytest.mark.parametrize("name", DATA_FILES)
@pytest.mark.parametrize("change", [1, -1, -50])
def test_longer_or_shorter_file(bundle: Path, name: str, change: int) -> None:
    """A file with a byte more, a byte less or half a copy is refused."""
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data + b"\n" if change > 0 else data[:change])
    assert _refusal(bundle).reason is BundleProblem.SIZE_MISMATCH


@pytest.mark.parametrize("name", DATA_FILES)
def test_changed_byte(bundle: Path, name: str) -> None:
    """A single flipped bit is refused."""
    data = bytearray((bundle / name).read_bytes())
    data[-1] ^= 1
    (bundle / name).write_bytes(data)
    assert _refusal(bundle).reason is BundleProblem.HASH_MISMATCH


@pytest.mark.parametrize("size", [0, -1, 10**30])
def test_absurd_declared_size(tamper: "Tamper", size: int) -> None:
    """A declared size is compared, never allocated."""
    values = tamper.read()
    values["files"][WEIGHTS_NAME]["bytes"] = size
    tamper.write(values)
    assert _refusal(tamper.directory).reason is BundleProblem.SIZE_MISMATCH


@pytest.mark.parametrize(
    "name", ["../weights.npy", "/etc/hostname", "a/b", "..", ".hidden", "", "a\x00b", MANIFEST_NAME]
)
def test_file_name_that_leads_away(tamper: "Tamper", name: str) -> None:
    """A file name with a path in it is refused before any file is touched."""
    values = tamper.read()
    values["files"][name] = {"blake3": "0" * 64, "sha256": "0" * 64, "bytes": 1}
    tamper.write(values)
    assert _refusal(tamper.directory).reason is BundleProblem.UNSAFE_FILE


@pytest.mark.parametrize("name", [*DATA_FILES, MANIFEST_NAME])
def test_symbolic_link(bundle: Path, tmp_path: Path, name: str) -> None:
    """A link is refused even when it leads to the right bytes."""
    outside = tmp_path / "outside"
    shutil.move(bundle / name, outside)
    (bundle / name).symlink_to(outside)
    assert _refusal(bundle).reason is BundleProblem.UNSAFE_FILE


def test_directory_in_place_of_a_file(bundle: Path) -> None:
    """A directory where a file belongs is refused."""
    (bundle / WEIGHTS_NAME).unlink()
    (bundle / WEIGHTS_NAME).mkdir()
    assert _refusal(bundle).reason is BundleProblem.UNSAFE_FILE


def test_unreadable_file(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error while reading is a refusal too."""

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr("models.files.map_file", fail)
    assert _refusal(bundle).reason is BundleProblem.FILE_UNREADABLE


@pytest.mark.parametrize("name", [WEIGHTS_NAME, INTERCEPT_NAME, IDF_NAME])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i4", "<c8", "<U1"])
def test_wrong_dtype(tamper: "Tamper", name: str, dtype: str) -> None:
    """Arrays of any other type than little-endian float32 are refused."""
    tamper.replace_array(name, np.load(tamper.directory / name).astype(dtype))
    assert _refusal(tamper.directory).reason is BundleProblem.ARRAY_INVALID


def test_fortran_order(tamper: "Tamper") -> None:
    """Weights in column order are refused: a scorer would have to copy them."""
    tamper.replace_array(WEIGHTS_NAME, np.asfortranarray(np.load(tamper.directory / WEIGHTS_NAME)))
    assert _refusal(tamper.directory).reason is BundleProblem.ARRAY_INVALID


@pytest.mark.parametrize("name", [WEIGHTS_NAME, INTERCEPT_NAME, IDF_NAME, OFFSETS_NAME])
def test_object_array(tamper: "Tamper", name: str) -> None:
    """An array of Python objects, which numpy would unpickle, is refused."""
    tamper.replace_array(name, np.array([{"a": 1}, None], dtype=object))
    assert _refusal(tamper.directory).reason is BundleProblem.ARRAY_INVALID


@pytest.mark.parametrize("name", [WEIGHTS_NAME, INTERCEPT_NAME, IDF_NAME, OFFSETS_NAME])
def test_wrong_shape(tamper: "Tamper", name: str) -> None:
    """Terms, weights, idf, intercepts and classes must fit each other."""
    tamper.replace_array(name, np.load(tamper.directory / name)[:-1])
    assert _refusal(tamper.directory).reason is BundleProblem.SHAPE_MISMATCH


def test_transposed_weights(tamper: "Tamper") -> None:
    """Weights of shape (classes, terms) are refused."""
    tamper.replace_array(WEIGHTS_NAME, np.ascontiguousarray(np.load(tamper.directory / WEIGHTS_NAME).T))
    assert _refusal(tamper.directory).reason is BundleProblem.SHAPE_MISMATCH


def test_wrong_number_of_terms(tamper: "Tamper") -> None:
    """The number of terms in the manifest must be that of the table."""
    tamper.set(terms=tamper.read()["terms"] + 1)
    assert _refusal(tamper.directory).reason is BundleProblem.SHAPE_MISMATCH


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04zip", b"\x80\x04pickle.", b"\x93NUMPY\x03\x00junk"])
def test_not_an_array(tamper: "Tamper", data: bytes) -> None:
    """Bytes that are no .npy file are refused, pickles and archives among them."""
    tamper.replace(WEIGHTS_NAME, data)
    assert _refusal(tamper.directory).reason is BundleProblem.ARRAY_INVALID


def test_header_declares_a_huge_array(tamper: "Tamper") -> None:
    """A header that promises a petabyte, in accord with the manifest, is refused without allocating it."""
    terms = 10**15
    data = (tamper.directory / OFFSETS_NAME).read_bytes()
    header = re.sub(rb"\(\d+,\)", b"(%d,)" % (terms + 1), data[:127]).rstrip()
    tamper.replace(OFFSETS_NAME, header.ljust(127) + b"\n" + data[128:])
    tamper.set(terms=terms)
    refusal = _refusal(tamper.directory)
    assert refusal.reason is BundleProblem.ARRAY_INVALID
    assert "declares" in refusal.detail


def test_array_shorter_than_its_header(tamper: "Tamper") -> None:
    """An array file that ends early is refused though size and hash are those declared."""
    tamper.replace(WEIGHTS_NAME, (tamper.directory / WEIGHTS_NAME).read_bytes()[:-4])
    assert _refusal(tamper.directory).reason is BundleProblem.ARRAY_INVALID


@pytest.mark.parametrize("name", [WEIGHTS_NAME, INTERCEPT_NAME, IDF_NAME])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_array_is_not_finite(tamper: "Tamper", name: str, value: float) -> None:
    """One NaN or infinity anywhere is refused."""
    array = np.load(tamper.directory / name)
    array.flat[-1] = value
    tamper.replace_array(name, array)
    assert _refusal(tamper.directory).reason is BundleProblem.NOT_FINITE


@pytest.mark.usefixtures("reference")
def test_terms_are_not_utf8(tamper: "Tamper") -> None:
    """A term table that is not UTF-8 is refused."""
    data = (tamper.directory / TERMS_NAME).read_bytes()
    tamper.replace(TERMS_NAME, b"\xff" + data[1:])
    assert _refusal(tamper.directory).reason is BundleProblem.TERMS_INVALID


def test_terms_are_decoded_when_asked_for(tamper: "Tamper") -> None:
    """A bundle opens without its terms being decoded; what is wrong with them comes out with the first."""
    data = (tamper.directory / TERMS_NAME).read_bytes()
    tamper.replace(TERMS_NAME, b"\xff" + data[1:])
    opened = Bundle.open(tamper.directory)
    assert len(opened.terms) == opened.manifest.terms
    with pytest.raises(BundleError) as caught:
        opened.terms[1]
    assert caught.value.reason is BundleProblem.TERMS_INVALID


def _spoil_offsets(offsets: "np.ndarray[Any, Any]", how: str) -> "np.ndarray[Any, Any]":
    spoiled = offsets.copy()
    if how == "falling":
        spoiled[3], spoiled[4] = offsets[4], offsets[3]
    elif how == "not from 0":
        spoiled[0] = 1
    elif how == "not to the end":
        spoiled[-1] -= 1
    elif how == "beyond the end":
        spoiled[-1] += 1
    elif how == "negative":
        spoiled[1] = -5
    else:
        spoiled[1] = np.iinfo(np.int64).min
        spoiled[2] = np.iinfo(np.int64).max
    return spoiled


@pytest.mark.parametrize(
    "how", ["falling", "not from 0", "not to the end", "beyond the end", "negative", "overflowing"]
)
def test_offsets_do_not_rise(tamper: "Tamper", how: str) -> None:
    """Offsets must rise from 0 to the end of the terms."""
    tamper.replace_array(OFFSETS_NAME, _spoil_offsets(np.load(tamper.directory / OFFSETS_NAME), how))
    assert _refusal(tamper.directory).reason is BundleProblem.TERMS_INVALID


@pytest.mark.usefixtures("reference")
def test_offset_cuts_a_character(tamper: "Tamper", content: BundleContent) -> None:
    """An offset in the middle of a character of several bytes is refused."""
    offsets = np.load(tamper.directory / OFFSETS_NAME)
    index = next(i for i, term in enumerate(content.terms) if term.endswith("café"))
    offsets[index + 1] -= 1
    tamper.replace_array(OFFSETS_NAME, offsets)
    assert _refusal(tamper.directory).reason is BundleProblem.TERMS_INVALID


@pytest.mark.usefixtures("reference")
def test_term_occurs_twice(tamper: "Tamper") -> None:
    """Two equal terms are refused: only one of them could ever be found."""
    data = (tamper.directory / TERMS_NAME).read_bytes()
    offsets = np.load(tamper.directory / OFFSETS_NAME)
    tamper.replace(TERMS_NAME, data[: offsets[1]] + data)
    tamper.replace_array(OFFSETS_NAME, np.concatenate([[0], offsets + offsets[1]]))
    for name in (WEIGHTS_NAME, IDF_NAME):
        array = np.load(tamper.directory / name)
        tamper.replace_array(name, np.concatenate([array[:1], array]))
    tamper.set(terms=tamper.read()["terms"] + 1)
    assert _refusal(tamper.directory).reason is BundleProblem.TERMS_INVALID


def test_golden_scores_differ(tamper: "Tamper") -> None:
    """Other weights with right hashes and shapes are found out by the golden documents."""
    weights = np.load(tamper.directory / WEIGHTS_NAME)
    tamper.replace_array(WEIGHTS_NAME, weights * np.float32(1.001))
    assert _refusal(tamper.directory).reason is BundleProblem.GOLDEN_MISMATCH


@pytest.mark.parametrize(
    ("field", "value"),
    [("decisions", [1e300, 0.0, 0.0]), ("known", False), ("text", "another text")],
)
def test_golden_expectation_differs(tamper: "Tamper", field: str, value: object) -> None:
    """Every part of a golden document counts, and a huge expectation is no wildcard."""
    golden = json.loads((tamper.directory / GOLDEN_NAME).read_bytes())
    golden["documents"][1][field] = value
    tamper.replace(GOLDEN_NAME, json.dumps(golden).encode())
    assert _refusal(tamper.directory).reason is BundleProblem.GOLDEN_MISMATCH


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"documents": []}', b'{"documents": [3]}', b'{"documents": [{"text": "a"}]}',
        b'{"documents": [{"text": "a", "decisions": [1, 2], "known": true}]}',
        b'{"documents": [{"text": "a", "decisions": [1, 2, null], "known": true}]}',
        b'{"documents": [{"text": "a", "decisions": [1, 2, 3], "known": 1}]}',
        b'{"documents": [{"text": 5, "decisions": [1, 2, 3], "known": true}]}',
    ],
)  # fmt: skip
def test_golden_file_is_invalid(tamper: "Tamper", data: bytes) -> None:
    """A golden file of another form, or without documents, is refused."""
    tamper.replace(GOLDEN_NAME, data)
    assert _refusal(tamper.directory).reason is BundleProblem.GOLDEN_INVALID
