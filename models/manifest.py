"""`manifest.json`: what a bundle says about itself, and the digest that names its content."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from models.content import Analyzer, Calibration, Fallback, Norm, StripAccents, VectorizerConfig
from models.fields import Fields, canonical_json, parse_json
from models.kernel_settings import reference_only
from models.problems import BundleError, BundleProblem

FORMAT: Final = "clf-bundle"
FORMAT_VERSION: Final = 2
MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.sig"
MAX_SIGNATURE_BYTES: Final = 4096
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
MAX_NGRAM: Final = 100
PIPELINE_NAME: Final = "pipeline.joblib"
INDEX_NAME: Final = "index.npy"

_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}")
# Two bundles of equal content get equal digests although they have different names and ages.
_OUTSIDE_DIGEST: Final = ("digest", "version", "created")
_FILES_OUTSIDE_DIGEST: Final = (PIPELINE_NAME, INDEX_NAME)


def is_safe_name(name: str) -> bool:
    """Whether `name` can be a file or directory name that stays in its place."""
    return _SAFE_NAME.fullmatch(name) is not None


def is_language(code: str) -> bool:
    """Whether `code` has the form of a normalised language code, such as "en" or "ckb"."""
    return _LANGUAGE.fullmatch(code) is not None


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What the manifest declares of one file: lower-case hex hashes, and its size in bytes.

    Opening checks BLAKE3, because SHA-256 takes eight times as long; that one is for people and their `sha256sum`.
    """

    blake3: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked manifest.

    Attributes (those that `BundleContent` does not explain):
        created: ISO 8601, UTC.
        terms: how many there are.
        reference_only: why only the reference scorer can follow the settings; None when the native one can too.
        libraries: versions of python, Unicode, numpy, scipy and scikit-learn at training.
        files: what every file but the manifest must be.
        digest: 64 hex digits, see `digest_of`.
    """

    lang: str
    version: str
    created: str
    classes: tuple[str, ...]
    terms: int
    thresholds: tuple[float, ...]
    fallback: Fallback
    calibration: Calibration
    vectorizer: VectorizerConfig
    reference_only: str | None
    training: Mapping[str, object]
    libraries: Mapping[str, object]
    metrics: Mapping[str, object]
    files: Mapping[str, FileEntry]
    digest: str

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Parse and check a manifest; nothing about the files themselves is checked here.

        Raises:
            BundleError: the first thing that is wrong.
        """
        parsed = parse_json(data, MANIFEST_NAME, BundleProblem.MANIFEST_NOT_JSON)
        fields = Fields(parsed, MANIFEST_NAME, BundleProblem.MANIFEST_INVALID)
        _check_format(fields)
        manifest = _read(fields)
        _check_values(manifest)
        _check_digest(manifest.digest, fields.values)
        return manifest


def encode_manifest(values: Mapping[str, object]) -> bytes:
    """The manifest file for `values`: adds format, format version and digest, and prints it for people.

    Raises:
        ValueError: a number is not finite or a text is not valid Unicode.
        TypeError: a value has no JSON form.
    """
    plain = json.loads(canonical_json({"format": FORMAT, "format_version": FORMAT_VERSION, **values}))
    plain["digest"] = digest_of(plain)
    return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def digest_of(values: Mapping[str, object]) -> str:
    """SHA-256 (hex) of the canonical JSON of a manifest without digest, version and created.

    Two files do not count either. `pipeline.joblib`: pickles hold memory addresses and differ from
    run to run, and serving never reads that file. `index.npy`: it follows from the others, and who
    trains without the native scorer has none.
    """
    counted = {name: value for name, value in values.items() if name not in _OUTSIDE_DIGEST}
    files = counted.get("files")
    if isinstance(files, dict):
        counted["files"] = {name: entry for name, entry in files.items() if name not in _FILES_OUTSIDE_DIGEST}
    return hashlib.sha256(canonical_json(counted)).hexdigest()


def _check_format(fields: Fields) -> None:
    if fields.values.get("format") != FORMAT:
        raise BundleError(
            BundleProblem.WRONG_FORMAT,
            f"{MANIFEST_NAME} does not say format {FORMAT!r}: this is not a model bundle.",
        )
    found = fields.integer("format_version")
    if found != FORMAT_VERSION:
        advice = "Upgrade clf, or train" if found > FORMAT_VERSION else "Train"
        raise BundleError(
            BundleProblem.FORMAT_VERSION,
            f"The bundle has format version {found}; this program reads version {FORMAT_VERSION}. "
            f"{advice} the model again with this version of clf.",
        )


def _read(fields: Fields) -> Manifest:
    calibration = fields.child("calibration")
    return Manifest(
        lang=fields.text("lang"),
        version=fields.text("version"),
        created=fields.text("created"),
        classes=fields.texts("classes"),
        terms=fields.integer("terms"),
        thresholds=fields.numbers("thresholds"),
        fallback=Fallback(fields.choice("fallback", tuple(Fallback))),
        calibration=Calibration(calibration.numbers("slope"), calibration.numbers("intercept")),
        vectorizer=_read_vectorizer(fields.child("vectorizer")),
        reference_only=fields.optional_text("reference_only"),
        training=fields.mapping("training"),
        libraries=fields.mapping("libraries"),
        metrics=fields.mapping("metrics"),
        files=_read_files(fields.child("files")),
        digest=fields.text("digest"),
    )


def _read_vectorizer(fields: Fields) -> VectorizerConfig:
    return VectorizerConfig(
        analyzer=fields.choice("analyzer", get_args(Analyzer)),
        ngram_range=fields.range("ngram_range"),
        token_pattern=fields.text("token_pattern"),
        lowercase=fields.flag("lowercase"),
        strip_accents=fields.optional_choice("strip_accents", get_args(StripAccents)),
        stop_words=fields.optional_texts("stop_words"),
        sublinear_tf=fields.flag("sublinear_tf"),
        binary=fields.flag("binary"),
        norm=fields.optional_choice("norm", get_args(Norm)),
        use_idf=fields.flag("use_idf"),
    )


def _read_files(fields: Fields) -> dict[str, FileEntry]:
    entries = {}
    for name in fields.values:
        if not is_safe_name(name) or name in (MANIFEST_NAME, SIGNATURE_NAME):
            raise BundleError(
                BundleProblem.UNSAFE_FILE,
                f"{MANIFEST_NAME} lists the file name {name!r}, which may lead out of the bundle or is taken. "
                "Do not use this bundle.",
            )
        entry = fields.child(name)
        entries[name] = FileEntry(entry.text("blake3"), entry.text("sha256"), entry.integer("bytes"))
    return entries


def _check_values(manifest: Manifest) -> None:
    """What the types do not say: names that fit a path, one number per class, usable n-grams."""
    k = len(manifest.classes)
    low, high = manifest.vectorizer.ngram_range
    agrees = (manifest.reference_only is None) is (reference_only(manifest.vectorizer) is None)
    checks = (
        (is_language(manifest.lang), f"lang {manifest.lang!r} is not a normalised language code such as 'en'"),
        (is_safe_name(manifest.version), f"version {manifest.version!r} cannot be a directory name"),
        (k > 0 and len(set(manifest.classes)) == k, "there must be one class at least, and no two of one name"),
        (all(map(_is_class_name, manifest.classes)), "a class name is empty or holds control characters"),
        (manifest.terms >= 1, "there must be one term at least"),
        (len(manifest.thresholds) == k, f"there must be {k} thresholds, one per class"),
        (len(manifest.calibration.slope) == k, f"there must be {k} calibration slopes, one per class"),
        (len(manifest.calibration.intercept) == k, f"there must be {k} calibration intercepts, one per class"),
        (1 <= low <= high <= MAX_NGRAM, f"ngram_range must rise from 1 or more to {MAX_NGRAM} or less"),
        (agrees, "'reference_only' does not agree with the vectorizer settings"),
    )
    for good, sentence in checks:
        if not good:
            raise BundleError(BundleProblem.MANIFEST_INVALID, f"{MANIFEST_NAME}: {sentence}. Train the model again.")


def _is_class_name(name: str) -> bool:
    return bool(name.strip()) and not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def _check_digest(declared: str, values: Mapping[str, object]) -> None:
    if declared != digest_of(values):
        raise BundleError(
            BundleProblem.DIGEST_MISMATCH,
            f"{MANIFEST_NAME} was changed after training: its digest does not fit its content. "
            "Copy the bundle again or train again.",
        )
