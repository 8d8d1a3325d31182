"""`clf bench score`: the speed of scoring, as ratios against scikit-learn's own fitted pipeline in the same run."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO

import click
import orjson
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from models.bundle import Bundle, BundleError
from schemas.document import DEFAULT_MAX_BYTES, Document
from worker.bench.machine import machine
from worker.bench.score_corpus import Amount, Measured, Plan, Scored, compare, measure
from worker.bench.score_growth import LENGTHS, VOCABULARIES, Curve, over_lengths, over_vocabularies
from worker.bench.score_open import Opening, measure_opening
from worker.bench.score_plot import write_svg
from worker.bench.score_scorers import Build, Contender, ScorerChoice, builders, contenders
from worker.bench.score_synthetic import synthetic_bundle
from worker.bench.trained import BenchError, TrainedModel, trained
from worker.clock import Clock, SystemClock
from worker.commands import bench_score_tables as tables
from worker.commands.cluster import clear_errors
from worker.commands.documents import Line, read_lines
from worker.commands.output import console
from worker.lifecycle import ExitCode
from worker.options import EnumChoice

OPENED_CLASSES = 50

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Variant(StrEnum):
    """Which terms a model has."""

    WORDS = "words"
    """Single words."""
    PAIRS = "pairs"
    """Single words, and pairs of neighbours."""

    @property
    def training_options(self) -> tuple[str, ...]:
        """What makes `clf train` do so."""
        return ("--prefix", "0", "--ngrams", "1" if self is Variant.WORDS else "2")


@dataclass(frozen=True, slots=True)
class DataSet:
    """Documents of one language, to train on and to score."""

    name: str
    paths: tuple[Path, ...]
    texts: list[str]

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "DataSet":
        """All lines of `paths`; what `clf train` refuses, it reports."""
        name = " + ".join(path.name.removesuffix(".gz").removesuffix(".jsonl") for path in paths)
        lines = (line for path in paths for line in read_lines(path, DEFAULT_MAX_BYTES, lambda _: None))
        fields = [orjson.loads(line.data) for line in lines if isinstance(line, Line)]
        contents = [Document("", item.get("title") or "", item.get("text") or "").content for item in fields]
        return cls(name, tuple(paths), contents)


class ScoreRun:
    """One run: what was asked for is measured part by part and shown at once."""

    def __init__(self, out: Console, clock: Clock, root: Path, build: dict[str, Build], plan: Plan) -> None:
        """Models go below `root`; `build` says which scorers are measured."""
        self.facts: dict[str, Any] = {"machine": machine(clock), "load": os.getloadavg()[0]}
        self.disagreeing: list[str] = []
        self._out = out
        self._clock = clock
        self._root = root
        self._build = build
        self._plan = plan

    def documents(
        self, data: DataSet, many: DataSet | None, lang: str, variants: Sequence[Variant], search: str
    ) -> None:
        """Batches, single documents, threads and agreement; and what many classes cost."""
        for variant in variants:
            first, scored = self._measure(data, lang, variant, search)
            if many is not None:
                second, scored_many = self._measure(many, lang, variant, search)
                say("scoring both in turn")
                costs = compare(scored, scored_many, self._plan, self._clock)
                tables.show_many(self._out, costs, first, second)
                self._add("many", {"variant": str(variant), "rows": [cost.as_json() for cost in costs]})
        tables.show_reading(self._out)

    def opening(self, terms: int, samples: int) -> None:
        """Time to open a large bundle, and the memory of two processes that have it open."""
        bundle = synthetic_bundle(self._root, terms, OPENED_CLASSES, say)
        title = f"Opening {terms:,} terms x {OPENED_CLASSES} classes in a fresh process, page cache warm"
        openings: list[Opening] = measure_opening(list(self._build), bundle, samples, say)
        tables.show_openings(self._out, openings, title)
        self.facts["opening"] = {
            "terms": terms,
            "classes": OPENED_CLASSES,
            "rows": [opening.as_json() for opening in openings],
        }

    def growth(self, data: DataSet, model: TrainedModel, largest: int, plot: Path | None) -> None:
        """Time over the length of a text and over the size of the vocabulary."""
        repeat = self._plan.repeat
        lengths = over_lengths(self._contenders(model), data.texts, LENGTHS, repeat, self._clock, say)
        tables.show_curve(self._out, lengths, "One text of growing length")
        sizes = [size for size in VOCABULARIES if size <= largest]
        vocabularies = over_vocabularies(self._build, self._root, sizes, repeat, self._clock, say)
        tables.show_curve(self._out, vocabularies, "A growing vocabulary, all of it in use (Zipf's law)")
        curves: list[Curve] = [lengths, vocabularies]
        self.facts["growth"] = [curve.as_json() for curve in curves]
        if plot is not None:
            write_svg(curves, plot)

    def model(self, data: DataSet, lang: str, variant: Variant, search: str) -> TrainedModel:
        """The model of a data set, new or from an earlier run."""
        options = (*variant.training_options, "--search", search)
        return trained(data.paths, lang, self._root, options, say)

    def _measure(self, data: DataSet, lang: str, variant: Variant, search: str) -> tuple[Measured, Scored]:
        model = self.model(data, lang, variant, search)
        scored = Scored(self._contenders(model), data.texts)
        speeds = measure(scored, self._plan, self._clock, say)
        bundle = Bundle.open(model.bundle)
        amount = Amount.of(data.texts)
        measured = Measured(data.name, str(variant), amount, len(bundle.classes), len(bundle.terms), speeds)
        tables.show_measured(self._out, measured)
        self.disagreeing += [f"{speed.contender} on {data.name}, {variant}" for speed in measured.disagreeing]
        self._add("documents", measured.as_json())
        return measured, scored

    def _add(self, part: str, facts: dict[str, Any]) -> None:
        self.facts.setdefault(part, []).append(facts)

    def _contenders(self, model: TrainedModel) -> list[Contender]:
        return contenders(model.bundle, model.pipeline, self._build)


@click.command()
@click.option(
    "--data",
    type=_FILE,
    multiple=True,
    help="Labelled JSON lines of one language, plain or gzip; the models are trained on them too. May be repeated. "
    "[default: the English sample corpus, whose documents are shorter than real articles]",
)
@click.option("--many", type=_FILE, multiple=True, help="The same with many classes, to see what classes cost.")
@click.option("--lang", default="en", show_default=True, help="Their language.")
@click.option(
    "--scorer",
    type=EnumChoice(ScorerChoice),
    default=str(ScorerChoice.BOTH),
    show_default=True,
    help="Which scorers to measure beside scikit-learn; both: the native one where it is installed.",
)
@click.option(
    "--variant",
    "variants",
    type=EnumChoice(Variant),
    multiple=True,
    default=[str(variant) for variant in Variant],
    show_default=True,
    help="Models of single words, or of words and pairs of words. May be repeated.",
)
@click.option(
    "--search",
    type=click.Choice(["none", "quick", "full"]),
    default="quick",
    show_default=True,
    help="How hard `clf train` looks for the best settings.",
)
@click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep models in this directory, and take those that an earlier run left there. Training is most of a run.",
)
@click.option(
    "--documents", default=2048, show_default=True, type=click.IntRange(1), help="Documents per round, in batches."
)
@click.option(
    "--singles", default=256, show_default=True, type=click.IntRange(1), help="Documents per round, one at a time."
)
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1), help="Rounds; medians are shown.")
@click.option(
    "--corpus/--no-corpus", default=True, show_default=True, help="Measure batches and single documents of --data."
)
@click.option("--open", "opening", is_flag=True, help="Measure opening a large bundle too, and the memory it shares.")
@click.option("--growth", is_flag=True, help="Measure growth with text length and vocabulary too; add a minute or two.")
@click.option(
    "--terms",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(10_000),
    help="Terms of the bundle of --open, and of the largest one of --growth.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the plot of --growth as SVG.")
@click.option(
    "--json", "json_file", type=click.File("wb"), help="Write all figures as JSON to this file, - for stdout."
)
def score(**values: Any) -> None:  # noqa: ANN401 - click has checked the types; they are listed above
    """Measure scoring on one thread, without Kafka.

    Trains models as `clf train` does, then scores the same texts with scikit-learn's own fitted pipeline and with the
    scorers of clf, in turn, and shows medians and ratios. It fails when their decisions differ by more than 1e-5.

    \b
    clf bench score                                     the sample corpus, less than a minute
    clf bench score --data eng.train.jsonl.gz --many reuters.jsonl.gz --models bench-models
    clf bench score --no-corpus --open                  1,000,000 terms x 50 classes
    clf bench score --no-corpus --growth --plot growth.svg
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    if values["plot"] and not values["growth"]:
        raise click.UsageError("--plot draws what --growth measures: add --growth.")
    if not (values["corpus"] or values["opening"] or values["growth"]):
        raise click.UsageError("--no-corpus leaves nothing to measure: add --open or --growth.")
    json_file: BinaryIO | None = values["json_file"]
    # Standard output belongs to the figures when they go there.
    out = Console(stderr=True) if json_file is not None and json_file.name == "<stdout>" else console()
    with clear_errors(BenchError, BundleError), _directory(values["models"]) as root, threadpool_limits(1):
        plan = Plan(values["documents"], values["singles"], values["repeat"])
        run = ScoreRun(out, SystemClock(), root, builders(values["scorer"], say), plan)
        out.print(f"{run.facts['machine']}, load {run.facts['load']:.1f} before the run")
        _run(run, values)
    if json_file is not None:
        json_file.write(orjson.dumps(run.facts, option=orjson.OPT_INDENT_2))
    if run.disagreeing:
        failure = click.ClickException(f"Decisions differ from scikit-learn's: {'; '.join(run.disagreeing)}.")
        failure.exit_code = ExitCode.FATAL  # type: ignore[misc]  # click's own way: it reads the instance
        raise failure


def say(line: str) -> None:
    """Progress."""
    click.echo(line, err=True)


def _run(run: ScoreRun, values: dict[str, Any]) -> None:
    lang, variants, search = values["lang"], list(dict.fromkeys(values["variants"])), values["search"]
    if values["corpus"] or values["growth"]:
        data = DataSet.read(values["data"] or [_sample()])
        if values["corpus"]:
            many = DataSet.read(values["many"]) if values["many"] else None
            run.documents(data, many, lang, variants, search)
        if values["growth"]:
            run.growth(data, run.model(data, lang, variants[0], search), values["terms"], values["plot"])
    if values["opening"]:
        run.opening(values["terms"], values["repeat"])


def _sample() -> Path:
    say("No --data: taking the English sample corpus, whose documents are short. Ratios hold, rates do not.")
    return Path(str(files("training") / "sample" / "eng.jsonl"))


@contextmanager
def _directory(models: Path | None) -> Iterator[Path]:
    """Where models are kept, or a place for this run alone."""
    if models is not None:
        yield models
        return
    say("No --models: the models of this run are thrown away at its end.")
    with tempfile.TemporaryDirectory(prefix="clf-bench-") as work:
        yield Path(work)
