"""Small trained models, bundles on disk, and the scorers that the contract suite runs on."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC

from models.bundle import BundleContent, Calibration, Fallback, VectorizerConfig, write_bundle
from models.content import ScorerSource
from models.files import blake3_of, map_file, sha256_of
from models.kernel_settings import reference_only
from models.manifest import MANIFEST_NAME, digest_of
from models.native import NativeScorer, why_unavailable
from models.reference import ReferenceScorer
from models.remote import RemoteStore
from models.scorer import Scorer
from models.store import Store
from models.tests.remote_stores import FaultyFileSystem, Told

ScorerFactory = Callable[[ScorerSource], Scorer]

# Every implementation of `Scorer`, by the name it gives itself. One line here runs the whole suite on one more.
SCORERS: dict[str, ScorerFactory] = {
    "reference": ReferenceScorer,
    "native": NativeScorer,
    "native, portable": partial(NativeScorer, portable=True),
}

CLASSES = ("culture", "health", "sport")
SENTENCES = {
    "culture": (
        "The museum opened an exhibition of early paintings, and the painter's café was full.",
        "The orchestra played two symphonies; the conductor bowed to the museum audience.",
        "A new novel about painters and their paintings won the prize for fiction.",
        "The theatre staged the play again, and the audience sang along with the orchestra.",
    ),
    "health": (
        "Doctors at the clinic found that sleep helps patients to recover from surgery.",
        "The clinic vaccinated patients; doctors and nurses worked through the night.",
        "A study of patients shows that walking lowers blood pressure, doctors said.",
        "Nurses at the hospital asked for more beds, because patients wait for hours.",
    ),
    "sport": (
        "The striker scored twice and the team won the final match of the season.",
        "The team lost the match after the goalkeeper was injured in the first half.",
        "Runners finished the marathon in the rain; the winner broke the season record.",
        "The coach praised the team, the striker and the goalkeeper after the match.",
    ),
}
TEXTS = tuple(sentence for sentences in SENTENCES.values() for sentence in sentences)
LABELS = tuple(name for name, sentences in SENTENCES.items() for _ in sentences)


@dataclass(frozen=True, slots=True)
class Trained:
    """scikit-learn's own fitted pipeline, and what training would hand over of it."""

    pipeline: Any
    content: BundleContent


Train = Callable[..., Trained]
Refusal = Callable[[VectorizerConfig], str | None]


@cache
def _train(config: VectorizerConfig, dtype: DTypeLike = np.float64) -> Trained:
    vectorizer = TfidfVectorizer(
        analyzer=config.analyzer,
        ngram_range=config.ngram_range,
        token_pattern=config.token_pattern,
        lowercase=config.lowercase,
        strip_accents=config.strip_accents,
        stop_words=None if config.stop_words is None else list(config.stop_words),
        sublinear_tf=config.sublinear_tf,
        binary=config.binary,
        norm=config.norm,
        use_idf=config.use_idf,
        dtype=dtype,
    )
    targets = np.array([[label == name for name in CLASSES] for label in LABELS], dtype=np.int64)
    pipeline = Pipeline(
        [("tfidf", vectorizer), ("svm", OneVsRestClassifier(LinearSVC(random_state=7, max_iter=100_000)))]
    )
    pipeline.fit(list(TEXTS), targets)
    estimators = pipeline["svm"].estimators_
    weights = np.vstack([estimator.coef_ for estimator in estimators]).T
    content = BundleContent(
        lang="en",
        classes=CLASSES,
        vectorizer=config,
        terms=vectorizer.get_feature_names_out().tolist(),
        idf=vectorizer.idf_.astype(np.float32) if config.use_idf else None,
        weights=np.ascontiguousarray(weights, dtype=np.float32),
        intercept=np.array([estimator.intercept_[0] for estimator in estimators], dtype=np.float32),
        calibration=Calibration(slope=(-2.5, -3.0, -3.5), intercept=(0.25, 0.0, -0.25)),
        thresholds=(0.5, 0.45, 0.4),
        fallback=Fallback.BEST,
        golden_texts=TEXTS[::3],
        training={"seed": 7, "documents": len(TEXTS)},
        metrics={"micro_f1": 0.9375},
    )
    return Trained(pipeline, content)


@pytest.fixture(scope="session")
def train() -> Train:
    """Train a model with the given vectorizer settings and precision; repeated ones give the same object."""
    return _train


@pytest.fixture(scope="session")
def content() -> BundleContent:
    """What training hands over, of a model with unigrams and bigrams."""
    return _train(VectorizerConfig(ngram_range=(1, 2))).content


@pytest.fixture(scope="session")
def native() -> type[NativeScorer]:
    """The native scorer; where it is not built, tests of it are skipped, or fail if CLF_BUILD_KERNEL=1 asks for it."""
    missing = why_unavailable()
    if missing is not None and os.environ.get("CLF_BUILD_KERNEL") == "1":
        pytest.fail(f"CLF_BUILD_KERNEL=1 asks for the native scorer, but it is not built: {missing}")
    if missing is not None:
        pytest.skip(f"the native scorer is not built: {missing}")
    return NativeScorer


@pytest.fixture(scope="session", params=sorted(SCORERS))
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of each implementation in turn."""
    name = str(request.param)
    if name != "reference":
        request.getfixturevalue("native")
    return name


@pytest.fixture(scope="session")
def build(implementation: str) -> ScorerFactory:
    """The way to make a scorer; the tests that use it run once per implementation."""
    return SCORERS[implementation]


@pytest.fixture(scope="session")
def why_refused(implementation: str) -> Refusal:
    """Why the implementation that is tested cannot follow some settings; None when it can."""
    return reference_only if implementation != "reference" else lambda _config: None


@pytest.fixture
def bundle(tmp_path: Path, content: BundleContent) -> Path:
    """A sound bundle on disk, version "v1" of "en" in a store at `tmp_path / "store"`."""
    directory = tmp_path / "store" / "en" / "v1"
    write_bundle(directory, "v1", content)
    return directory


class Tamper:
    """Changes a bundle and then corrects hashes, sizes and digest, so that only the change itself can be found."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self) -> dict[str, Any]:
        """The manifest as plain values."""
        values: dict[str, Any] = json.loads((self.directory / MANIFEST_NAME).read_bytes())
        return values

    def write(self, values: Mapping[str, object]) -> None:
        """Write a manifest with a correct digest."""
        sealed = {**values, "digest": digest_of(values)}
        (self.directory / MANIFEST_NAME).write_text(json.dumps(sealed), encoding="utf-8")

    def set(self, **changes: object) -> None:
        """Change fields of the manifest."""
        self.write(self.read() | changes)

    def replace(self, name: str, data: bytes) -> None:
        """Change a file, and what the manifest says of it."""
        path = self.directory / name
        path.write_bytes(data)
        values = self.read()
        values["files"][name] = {"blake3": blake3_of(map_file(path)), "sha256": sha256_of(path), "bytes": len(data)}
        self.write(values)

    def replace_array(self, name: str, array: object) -> None:
        """Change an array file to anything numpy can save."""
        np.save(self.directory / name, np.asarray(array), allow_pickle=True)
        self.replace(name, (self.directory / name).read_bytes())


@pytest.fixture
def tamper(bundle: Path) -> Tamper:
    """The means to damage `bundle` in one place."""
    return Tamper(bundle)


@pytest.fixture
def origin(tmp_path: Path, content: BundleContent) -> Store:
    """The store at the other end: English in two versions, the first of them active, and German."""
    store = Store(tmp_path / "origin")
    write_bundle(store.path("en", "v1"), "v1", content, pipeline={"not": "used"})
    write_bundle(store.path("en", "v2"), "v2", replace(content, thresholds=(0.6, 0.6, 0.6)))
    write_bundle(store.path("de", "v1"), "v1", replace(content, lang="de"))
    store.activate("en", "v1")
    store.activate("de", "v1")
    return store


@pytest.fixture
def told() -> Told:
    """What the store told."""
    return Told()


@pytest.fixture
def faults() -> Iterator[type[FaultyFileSystem]]:
    """The file system whose class attributes are its faults."""
    FaultyFileSystem.reset()
    yield FaultyFileSystem
    FaultyFileSystem.reset()


@pytest.fixture
def url(origin: Store, faults: type[FaultyFileSystem]) -> str:
    """Where the origin is for others."""
    return f"{faults.protocol}://{origin.root}"


@pytest.fixture
def remote(url: str, tmp_path: Path, told: Told) -> RemoteStore:
    """The store under test, with an empty cache."""
    return RemoteStore(url, tmp_path / "cache", watch=told)
