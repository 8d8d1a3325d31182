"""A text alone, which is ranked without arrays, gets what it gets in a batch; and touching what is mapped."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from models.bundle import BundleContent
from models.content import Fallback
from models.model import Model, Prediction, load_model
from models.ranking import Ranked
from models.scorer import Scores, predict_by_score

# Wall time per example says nothing on a shared machine.
unhurried = settings(deadline=None)

MOST_CLASSES = 300
# Edges of float32: neighbours of decimal fractions, of 0 and of 1, and the smallest numbers there are.
EDGES = [0.0, 1e-45, 1e-38, 5e-7, 4.9999998e-7, 1.5e-6, 0.1, 0.5, 0.7, 0.9999995, 1.0]
PROBABILITIES = st.one_of(st.floats(0, 1, width=32), st.sampled_from([float(np.float32(edge)) for edge in EDGES]))


@dataclass(frozen=True)
class TableScorer:
    """Text number i, written as a decimal, gets row i; the text "unknown" has no known term."""

    table: NDArray[np.float32]
    name: str = "table"

    @property
    def classes(self) -> tuple[str, ...]:
        """As many as there are columns."""
        return tuple(f"class {number}" for number in range(self.table.shape[1]))

    def score(self, texts: Sequence[str]) -> Scores:
        """Rows of the table."""
        known = np.array([text != "unknown" for text in texts], dtype=bool)
        rows = self.table[[int(text) if text != "unknown" else 0 for text in texts]]
        return Scores(rows, rows, known)

    def predict(self, text: str, thresholds: Sequence[float], *, best: bool) -> Ranked | None:
        """As the scores say."""
        return predict_by_score(self, text, thresholds, best=best)


def model_of(table: NDArray[np.float32], thresholds: Sequence[float], fallback: Fallback) -> Model:
    """A model with these probabilities."""
    scorer = TableScorer(table)
    return Model("en", "v1", "0" * 16, scorer.classes, scorer, tuple(thresholds), fallback)


def assert_alone_as_in_a_batch(model: Model, texts: Sequence[str]) -> None:
    """Every text gets the same prediction in a batch and alone, to the last bit and with the same types."""
    for text, of_batch in zip(texts, model.predict([*texts, *texts]), strict=False):
        [alone] = model.predict([text])
        assert alone == of_batch
        assert written(alone) == written(of_batch)


def written(prediction: Prediction) -> list[tuple[str, str, type]]:
    """What two predictions have in common only when no bit, sign or type differs."""
    return [(name, prob.hex(), type(prob)) for name, prob in prediction.classes]


@st.composite
def models(draw: st.DrawFn) -> tuple[Model, list[str]]:
    """Draw a model of 1 to 300 classes with thresholds at or beside its probabilities, and its texts."""
    classes = draw(st.sampled_from([1, 2, 3, 149, 150, 151, MOST_CLASSES]) | st.integers(1, MOST_CLASSES))
    fill = draw(PROBABILITIES)
    table = draw(arrays(np.float32, (draw(st.integers(1, 3)), classes), elements=PROBABILITIES, fill=st.just(fill)))
    thresholds = draw(st.permutations([float(value) for value in table[0]]))
    for index in draw(st.lists(st.integers(0, classes - 1), max_size=5)):
        thresholds[index] = draw(nearby(thresholds[index]))
    return model_of(table, thresholds, draw(st.sampled_from(Fallback))), [*map(str, range(len(table))), "unknown"]


def nearby(value: float) -> st.SearchStrategy[float]:
    """Numbers that are, or nearly are, this one in single precision; or any other threshold."""
    single, double = np.float32(value), np.float64(value)
    return st.one_of(
        st.sampled_from([float(np.nextafter(single, np.float32(end))) for end in (0, 1)]),
        st.sampled_from([float(np.nextafter(double, np.float64(end))) for end in (0, 1)]),
        st.sampled_from([0.1, 0.7, 0.0, 1.0]),
        st.floats(0, 1),
    )


@unhurried
@given(models())
def test_alone_as_in_a_batch(drawn: tuple[Model, list[str]]) -> None:
    """Any probabilities, any number of classes, both fallbacks: whoever calls for one text gets the worker's bytes."""
    assert_alone_as_in_a_batch(*drawn)


@unhurried
@given(st.integers(1, MOST_CLASSES), st.lists(PROBABILITIES, min_size=1, max_size=3), st.sampled_from(Fallback))
def test_ties(classes: int, values: list[float], fallback: Fallback) -> None:
    """Where a few values are shared by all classes, equal ones stay in class order both ways."""
    table = np.resize(np.array(values, dtype=np.float32), (1, classes))
    model = model_of(table, [max(values)] * classes, fallback)
    assert_alone_as_in_a_batch(model, ["0"])
    ranked = [(-float(table[0, number]), number) for number in range(classes)]
    assert [name for name, _ in model.predict(["0"])[0].classes] == [f"class {n}" for _, n in sorted(ranked)]


@pytest.mark.parametrize("fallback", Fallback)
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("classes", [3, MOST_CLASSES])
def test_thresholds_between_single_and_double(fallback: Fallback, threshold: float, classes: int) -> None:
    """A probability is compared with its threshold in single precision: equal there is reached, one step below not."""
    single = np.float32(threshold)
    below, above = (np.nextafter(single, np.float32(end)) for end in (0, 1))
    table = np.zeros((1, classes), dtype=np.float32)
    table[0, :3] = below, single, above
    model = model_of(table, [threshold] * classes, fallback)
    assert_alone_as_in_a_batch(model, ["0"])
    assert model.predict(["0"])[0].labels == ("class 2", "class 1")


@pytest.mark.parametrize("classes", [1, 150, 151])
def test_an_unknown_text_alone(classes: int) -> None:
    """A text without a known term gets nothing, even where its scores would reach every threshold."""
    model = model_of(np.ones((1, classes), dtype=np.float32), [0.0] * classes, Fallback.BEST)
    assert model.predict(["unknown"]) == [Prediction(known=False, labels=(), classes=())]
    assert model.predict(["unknown", "0"])[0] == model.predict(["unknown"])[0]


# --- what is mapped ------------------------------------------------------------------------------------------


def test_a_loaded_model_knows_what_is_mapped(bundle: Path) -> None:
    """Every large array of the bundle's files is touched: the index, weights, frequencies and characters."""
    model = load_model(bundle)
    sizes = sorted(array.nbytes for array in model.arrays)
    names = ("index.npy", "idf.npy", "weights.npy", "characters.npy")
    files = sorted((bundle / name).stat().st_size for name in names if (bundle / name).exists())
    assert len(sizes) == len(files)
    assert all(0 <= file - size < 4096 for size, file in zip(sizes, files, strict=True))
    assert not any(array.flags.writeable for array in model.arrays)


def test_touching_changes_nothing(bundle: Path, content: BundleContent) -> None:
    """A model that was touched, by several threads at once, predicts what it did."""
    model = load_model(bundle)
    before = model.predict(content.golden_texts)
    threads = [threading.Thread(target=model.touch) for _ in range(4)]
    for thread in threads:
        thread.start()
    model.touch()
    for thread in threads:
        thread.join()
    assert model.predict(content.golden_texts) == before


@pytest.mark.parametrize("numbers", [0, 1, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("columns", [1, 7])
def test_touching_reads_every_page(numbers: int, columns: int, tmp_path: Path) -> None:
    """Arrays of any size and shape, mapped and read-only, are read from end to end."""
    path = tmp_path / "array.npy"
    np.save(path, np.zeros((numbers, columns), dtype=np.float32))
    mapped = np.load(path, mmap_mode="r" if numbers else None)
    read: list[int] = []

    class Noting(np.ndarray):
        """Notes what is read of it."""

        def max(self, **options: object) -> object:  # type: ignore[override]  # only what is used
            """Of which bytes."""
            read.append(self.size)
            return np.asarray(self).max(**options)  # type: ignore[call-overload]  # passed on

    model = model_of(np.ones((1, 1), dtype=np.float32), [0.5], Fallback.NONE)
    object.__setattr__(model, "arrays", (mapped.view(Noting),))
    model.touch()
    assert read == [-(-mapped.nbytes // 4096)]


def test_the_sample_is_a_text_it_knows(bundle: Path) -> None:
    """What keeps a server warm goes the whole way: the model knows its sample's terms."""
    model = load_model(bundle)
    assert 0 < len(model.sample) <= 3000
    assert model.predict([model.sample])[0].known
