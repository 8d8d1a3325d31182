"""`clf bench score`: what is computed from the times, with scorers that turn the clock themselves."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from rich.console import Console

from models.bundle import Bundle
from worker.bench import score_scorers, trained
from worker.bench.machine import machine
from worker.bench.score_corpus import Amount, Cost, Difference, Measured, Plan, Scored, Speed, compare, measure
from worker.bench.score_growth import Curve, endless, over_lengths, over_vocabularies, windows
from worker.bench.score_open import Opening
from worker.bench.score_opener import memory
from worker.bench.score_plot import text_plot, write_svg
from worker.bench.score_scorers import SKLEARN, Contender, ScorerChoice, builders
from worker.bench.score_synthetic import synthetic_bundle, words, zipf_texts
from worker.bench.score_timing import growth_exponent, in_batches, percentile, rounds, single_calls, two_threads
from worker.bench.trained import BenchError
from worker.cli import main
from worker.commands import bench_score_tables as tables
from worker.tests.fakes import ManualClock


class Played:
    """A contender that takes so many seconds per call and per character."""

    def __init__(self, clock: ManualClock, per_character: float, per_call: float = 0.0, shift: float = 0.0) -> None:
        self._clock = clock
        self._costs = per_call, per_character
        self._shift = shift
        self.calls: list[int] = []

    def decide(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Two decisions per text, 4.0 and 0.5, shifted."""
        self.calls.append(len(texts))
        self._clock.now += self._costs[0] + self._costs[1] * sum(map(len, texts))
        return np.full((len(texts), 2), (4.0, 0.5)) + self._shift

    def named(self, name: str) -> Contender:
        """In the form that is measured."""
        return Contender(name, self.decide, self.decide)


def quiet(line: str) -> None:
    """Say nothing."""
    del line


def speed(name: str, *, second: float = 1.0, difference: float = 0.0) -> Speed:
    """A contender whose rounds of 10 documents, 1,000 characters and 2,000 bytes took about `second`."""
    seconds = [second * 2, second, second / 2]
    calls = [second / 10] * 99 + [second] * 2
    return Speed(name, Amount(10, 1000, 2000), seconds, calls, [1.5, 1.9, 1.7], Difference(difference, difference))


def measured(*speeds: Speed, classes: int = 2) -> Measured:
    """What the tables show."""
    return Measured("news", "words", Amount(10, 1000, 2000), classes, 30, list(speeds))


def shown(show: Callable[[Console], None]) -> str:
    """What is printed, without the frame."""
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        show(console)
    return re.sub(r"[│┃ ]+", " ", capture.get())


# --- times -------------------------------------------------------------------------------------------------


def test_medians_and_ratios() -> None:
    """Figures come from the median round; a ratio above one is quicker than the reference."""
    slow, quick = speed("slow"), speed("quick", second=0.25)
    assert slow.microseconds_per_document == pytest.approx(100_000)
    assert slow.megabytes_per_second == pytest.approx(0.002)
    assert slow.nanoseconds_per_character == pytest.approx(1e6)
    assert slow.single_median == pytest.approx(1e5)
    assert slow.single_p99 == pytest.approx(1e6)
    assert slow.two_threads == 1.7
    facts = quick.as_json(slow)
    assert (facts["ratio"], facts["single_ratio"], facts["two_threads"]) == (4.0, 4.0, 1.7)
    assert facts["round_seconds"] == [0.5, 0.25, 0.125]


def test_amount_counts_characters_and_bytes() -> None:
    """Bytes are those of UTF-8, and half a surrogate pair does not stop the count."""
    assert Amount.of(["aé", "", "\ud800"]) == Amount(3, 3, 4)


def test_percentile() -> None:
    """The smallest value that the share does not exceed."""
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0


def test_growth_exponent() -> None:
    """0 for what stays, 1 for what doubles with the size."""
    assert growth_exponent([1, 10, 100], [3, 3, 3]) == pytest.approx(0)
    assert growth_exponent([1, 10, 100], [2, 20, 200]) == pytest.approx(1)
    assert growth_exponent([5], [7]) == 0


def test_rounds_take_turns() -> None:
    """Every job runs once per round, and each round begins with another one."""
    order: list[str] = []
    jobs = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = rounds(jobs, 3, ManualClock())
    assert order == list("abcbcacab")
    assert seconds == {name: [0.0] * 3 for name in "abc"}


def test_single_calls_are_timed_one_by_one() -> None:
    """One text per call, and each call's own time."""
    clock = ManualClock(0.0)
    slow, quick = Played(clock, 2.0), Played(clock, 1.0)
    found = single_calls({"slow": slow.decide, "quick": quick.decide}, ["a", "bcd"], 2, clock)
    assert found == {"slow": [2.0, 6.0] * 2, "quick": [1.0, 3.0] * 2}
    assert slow.calls == quick.calls == [1] * 4


def test_two_threads_against_one() -> None:
    """Two threads do twice the work: where they take turns they take twice the time, and the ratio is 1."""
    clock = ManualClock(0.0)
    assert two_threads(Played(clock, 1.0).decide, [["a"], ["b"]], 3, clock) == [pytest.approx(1.0)] * 3


def test_an_error_in_a_thread_is_not_lost() -> None:
    """A scorer that fails ends the measurement."""

    def fail(texts: Sequence[str]) -> None:
        raise ValueError(len(texts))

    with pytest.raises(ValueError, match="1"):
        two_threads(fail, [["a"]], 1, ManualClock())


def test_in_batches() -> None:
    """The last group is shorter."""
    assert in_batches(["a", "b", "c"], 2) == [["a", "b"], ["c"]]
    assert in_batches([], 2) == []


# --- documents ---------------------------------------------------------------------------------------------


def test_measure() -> None:
    """Times, singles and differences of all contenders; texts are repeated to the amount of the plan."""
    clock = ManualClock(0.0)
    slow, quick = Played(clock, 4.0, per_call=1.0), Played(clock, 1.0, shift=4e-6)
    who = [slow.named(SKLEARN), quick.named("quick")]
    first, second = measure(Scored(who, ["abc", "d"]), Plan(documents=5, singles=3, repeat=3), clock, quiet)
    assert first.amount == second.amount == Amount(5, 11, 11)
    assert first.seconds == [45.0] * 3
    assert second.seconds == [11.0] * 3
    assert sorted(set(first.calls)) == [5.0, 13.0]
    assert first.threads == []
    assert second.two_threads == pytest.approx(1.0)
    assert first.difference == Difference(0.0, 0.0)
    assert second.difference.absolute == pytest.approx(4e-6)


@pytest.mark.parametrize(("shift", "acceptable"), [(9e-6, True), (2e-5, False), (-2e-5, False), (float("nan"), False)])
def test_agreement(shift: float, acceptable: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Decisions may differ by 1e-5; NaN never agrees."""
    clock = ManualClock()
    who = [Played(clock, 1.0).named(SKLEARN), Played(clock, 1.0, shift=shift).named("ours")]
    speeds = measure(Scored(who, ["text"]), Plan(1, 1, 1), clock, quiet)
    assert speeds[1].difference.acceptable is acceptable
    assert [found.contender for found in measured(*speeds).disagreeing] == ([] if acceptable else ["ours"])


def test_large_decisions_may_differ_more() -> None:
    """The tolerance is relative to decisions larger than 1."""
    large = Contender("large", len, lambda texts: np.full((len(texts), 1), 1000.0))
    near = Contender("near", len, lambda texts: np.full((len(texts), 1), 1000.005))
    found = measure(Scored([large, near], ["text"]), Plan(1, 1, 1), ManualTicks(), quiet)[1].difference
    assert found.absolute == pytest.approx(0.005)
    assert found.relative == pytest.approx(5e-6)
    assert found.acceptable


class ManualTicks(ManualClock):
    """Every look at the clock takes a second."""

    def monotonic(self) -> float:
        """A second later."""
        self.now += 1.0
        return self.now


def test_other_shapes_are_refused() -> None:
    """A model of other classes is compared with nothing."""
    two = Contender("two", len, lambda texts: np.zeros((len(texts), 2)))
    three = Contender("three", len, lambda texts: np.zeros((len(texts), 3)))
    with pytest.raises(BenchError, match="shape"):
        measure(Scored([two, three], ["text"]), Plan(1, 1, 1), ManualClock(), quiet)


def test_no_documents_are_refused() -> None:
    """An empty file is said to be one."""
    with pytest.raises(BenchError, match="no documents"):
        measure(Scored([], []), Plan(1, 1, 1), ManualClock(), quiet)


def test_many_classes_per_character() -> None:
    """By contender, how many times as long a character of the second corpus takes."""
    clock = ManualClock(0.0)
    few = Scored([Played(clock, 2.0).named("a"), Played(clock, 1.0).named("b")], ["text", "longer"])
    many = Scored([Played(clock, 6.0).named("a"), Played(clock, 1.0).named("b")], ["other"])
    costs = compare(few, many, Plan(3, 1, 3), clock)
    assert [cost.contender for cost in costs] == ["a", "b"]
    assert [cost.times for cost in costs] == [pytest.approx(3.0), pytest.approx(1.0)]
    assert costs[0].as_json()["nanoseconds_per_character"] == [pytest.approx(2e9), pytest.approx(6e9)]


def test_the_tables_show_it() -> None:
    """The figures of the median round, ratios, and the largest difference."""
    first = measured(speed(SKLEARN), speed("ours", second=0.25, difference=2e-6))
    text = shown(lambda console: tables.show_measured(console, first))
    assert "news, words: 10 documents of 100 characters, 2 classes, 30 terms" in text
    assert "ours 25,000.00 0.0 250,000.00 4.00 25,000.0 250,000.0 4.00 1.70 2.0e-06" in text
    costs = [Cost(SKLEARN, 100.0, 200.0), Cost("ours", 4.0, 5.0)]
    text = shown(lambda console: tables.show_many(console, costs, first, measured(speed(SKLEARN), classes=90)))
    assert "90 classes by 2 classes" in text
    assert "ours 4.00 5.00 1.25" in text


# --- opening -----------------------------------------------------------------------------------------------


def opening(scorer: str, second: float, memory_of: dict[str, int]) -> Opening:
    """Three samples about `second`."""
    sample = {"import_seconds": 9.0, "open_seconds": 0.5, "build_seconds": 0.25, "first_score_seconds": 0.125}
    samples = [{**sample, "seconds": value} for value in (second * 3, second, second / 2)]
    return Opening(scorer, samples, {"memory": memory_of, "memory_before": {"Rss": 2**20} if memory_of else {}})


def test_openings() -> None:
    """Medians, ratios to the slowest, and both looks at the memory."""
    both = [opening("native", 0.5, {"Rss": 3 * 2**20}), opening("reference", 2.0, {"Rss": 9 * 2**20})]
    text = shown(lambda console: tables.show_openings(console, both, "Opening"))
    assert "native 0.500 4.00 0.500 0.250 0.125 9.000" in text
    assert "native, before opening 1.0 0.0" in text
    assert "reference, after the first score 9.0 0.0" in text
    assert both[0].as_json()["seconds"] == 0.5
    assert both[0].as_json()["stages"]["import"] == 9.0


def test_openings_where_the_kernel_does_not_tell() -> None:
    """The times are shown all the same."""
    text = shown(lambda console: tables.show_openings(console, [opening("native", 1.0, {})], "Opening"))
    assert "does not tell" in text
    assert "native 1.000 1.00" in text


def test_memory_from_the_kernel(tmp_path: Path) -> None:
    """Kibibytes become bytes; other lines are left out, and so is everything where there is no such file."""
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text("5589-7ffd ---p 00000000 00:00 0   [rollup]\nRss:    12 kB\nPss_File:  3 kB\nLocked: 0 kB\n")
    assert memory(rollup) == {"Rss": 12 * 1024, "Pss_File": 3 * 1024}
    assert memory(tmp_path / "nothing") == {}


# --- growth ------------------------------------------------------------------------------------------------


def test_over_lengths() -> None:
    """Time per character: flat where time is in proportion to the length, falling where a call costs something."""
    clock = ManualClock(0.0)
    who = [Played(clock, 2e-9).named("flat"), Played(clock, 1e-9, per_call=1e-3).named("falling")]
    curve = over_lengths(who, ["some text", "more"], (1000, 10_000), 3, clock, quiet)
    assert curve.nanoseconds["flat"] == [pytest.approx(2.0)] * 2
    assert curve.nanoseconds["falling"] == [pytest.approx(1001.0), pytest.approx(101.0)]
    assert curve.exponents["flat"] == pytest.approx(0)
    assert curve.as_json()["sizes"] == [1000, 10_000]


def test_texts_of_a_length() -> None:
    """Texts are put end to end, again and again, and cut into equal pieces."""
    assert endless(["ab", "c"], 7) == "ab\nc\nab"
    assert all(len(endless(["ab", "c"], length)) >= length for length in range(20))
    assert [len(piece) for piece in windows("x" * 500_000, 100_000)] == [100_000] * 2
    assert len(windows("x" * 10**6, 10**6)) == 1
    with pytest.raises(BenchError, match="no text"):
        endless(["", ""], 7)


def test_over_vocabularies(tmp_path: Path) -> None:
    """Bundles of each size are written, scored, and found again by the next run."""
    build = builders(ScorerChoice.REFERENCE, quiet)
    said: list[str] = []
    curve = over_vocabularies(build, tmp_path, (50, 100), 1, ManualTicks(), said.append)
    assert list(curve.nanoseconds) == ["reference scorer"]
    assert curve.nanoseconds["reference scorer"] == [pytest.approx(1e9 / (128 * 400))] * 2
    assert [line.partition(" ")[0] for line in said] == ["writing", "writing", "scoring"]
    assert len(Bundle.open(synthetic_bundle(tmp_path, 100, 6, said.append)).terms) == 100
    assert said[-1].startswith("reusing")


CURVE = Curve("terms", "word", (1000, 1_000_000), {"quick": [2.0, 2.0], "slow": [200.0, 400.0]})


def test_the_plot_of_text() -> None:
    """Larger is higher, sizes stand below, and each contender has its mark."""
    lines = text_plot(CURVE)
    high = next(number for number, line in enumerate(lines) if "+" in line)
    low = next(number for number, line in enumerate(lines) if "*" in line)
    assert high < low
    assert lines[low].count("*") == 2
    assert lines[-2].split() == ["1k", "1M"]
    assert lines[-1].split() == ["terms;", "*", "quick", "+", "slow"]


def test_the_curve_as_a_table() -> None:
    """A row per size, and how it grows."""
    text = shown(lambda console: tables.show_curve(console, CURVE, "Growth"))
    assert "1,000,000 2.00 400.00" in text
    assert "to the power 0.00 0.10" in text


def test_the_plot_as_svg(tmp_path: Path) -> None:
    """One picture with a panel per curve."""
    write_svg([CURVE, CURVE], tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert text.count("ns per word") == 2
    assert "slow" in text


def test_synthetic_words_and_texts() -> None:
    """Distinct sorted words, the same each time; frequent ones are much more frequent than others."""
    vocabulary = words(1000)
    assert vocabulary == sorted(set(vocabulary)) == words(1000)
    assert all(re.fullmatch("[a-z]{2,20}", word) for word in vocabulary)
    texts = zipf_texts(vocabulary, 20, 100)
    tokens = " ".join(texts).split()
    assert len(tokens) == 2000
    assert set(tokens) <= set(vocabulary)
    assert max(map(tokens.count, set(tokens))) > 40


# --- models and options ------------------------------------------------------------------------------------


def test_a_missing_native_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    """By name it is an error; as one of both it is left out, and that is said."""
    monkeypatch.setattr(score_scorers, "why_unavailable", lambda: "no module of that name")
    said: list[str] = []
    assert list(builders(ScorerChoice.BOTH, said.append)) == ["reference"]
    assert "not installed" in said[0]
    with pytest.raises(BenchError, match="not installed"):
        builders(ScorerChoice.NATIVE, quiet)


def test_models_are_trained_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same data and options find the model again; other data and other options do not."""
    calls: list[tuple[str, ...]] = []

    def train(data: Sequence[Path], lang: str, models: Path, *options: str) -> Path:
        del data
        calls.append(options)
        pipeline = models / lang / f"v{len(calls)}" / "pipeline.joblib"
        for path in (pipeline, models / lang / ".unfinished.tmp" / "pipeline.joblib"):
            path.parent.mkdir(parents=True)
            path.touch()
        return pipeline

    monkeypatch.setattr(trained, "train", train)
    data = tmp_path / "eng.train.jsonl.gz"
    data.write_bytes(b"first")
    found = trained.trained([data], "en", tmp_path / "models", ["--ngrams", "1"], quiet)
    assert (found.bundle.name, found.pipeline.parent) == ("v1", found.bundle)
    assert trained.trained([data], "en", tmp_path / "models", ["--ngrams", "1"], quiet) == found
    assert trained.trained([data], "en", tmp_path / "models", ["--ngrams", "2"], quiet) != found
    data.write_bytes(b"other")
    assert trained.trained([data], "en", tmp_path / "models", ["--ngrams", "1"], quiet) != found
    assert len(calls) == 3


def test_the_machine() -> None:
    """The day comes from the clock."""
    assert machine(ManualClock(0.0)).startswith("1970-01-01, ")


@pytest.mark.parametrize(
    ("options", "said"), [(["--plot", "growth.svg"], "--growth"), (["--no-corpus"], "--open"), (["--repeat", "0"], "1")]
)
def test_options_that_make_no_sense(options: list[str], said: str) -> None:
    """They are refused before anything is trained."""
    result = CliRunner().invoke(main, ["bench", "score", *options])
    assert result.exit_code == 2
    assert said in result.stderr
