"""The command-line options of this package: each declared once, with help that teaches."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, Final

import click

from models.bundle import Fallback
from models.store import DEFAULT_STORE, STORE_VARIABLE
from schemas.language import normalise_language
from training.corpus import CorpusRules
from training.features import TermWeight
from training.parameters import Pins, SearchEffort
from training.thresholds import ThresholdRule
from training.trainer import TrainingSettings

AUTO: Final = "auto"

Decorator = Callable[[Any], Any]
Values = dict[str, Any]


class Language(click.ParamType[str]):
    """A language code in any usual form, normalised."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """The normalised code; a usage error when it is none."""
        code = normalise_language(str(value))
        if code == "und":
            self.fail(f"{value!r} is not a language code; examples: en, eng, en-GB, de.", param, ctx)
        return code


def option(flag: str, help_text: str, **attributes: Any) -> Decorator:  # noqa: ANN401 - whatever click.option takes
    """An option whose environment variable, and default if there is one, show in `--help`."""
    shown = attributes.get("default") is not None
    return click.option(flag, help=help_text, show_default=shown, show_envvar=True, **attributes)


def together(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in this order in `--help`."""
    return lambda function: reduce(lambda wrapped, decorate: decorate(wrapped), reversed(decorators), function)


INPUT: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
OUTPUT: Final = click.Path(dir_okay=False, allow_dash=True, path_type=Path)

corpus_options = together(
    click.argument("files", nargs=-1, type=INPUT),
    option(
        "--data",
        'JSON lines, plain or gzip, each {"url", "title", "text", "lang", "labels": ["name", ...]}. '
        "More files may follow as arguments.",
        type=INPUT,
        multiple=True,
        required=True,
    ),
    option("--lang", "Language of the documents; en, eng and en-GB are all English.", type=Language(), required=True),
    option(
        "--models",
        "The model store: a directory that holds LANG/VERSION; for `clf evaluate` a URL too.",
        type=click.Path(file_okay=False),
        default=str(DEFAULT_STORE),
        envvar=STORE_VARIABLE,
    ),
)

loading_options = together(
    option(
        "--model-cache",
        "Directory for the models of a URL; default is clf/models in the user's cache directory.",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="CLF_MODEL_CACHE",
    ),
    option(
        "--trusted-keys",
        "PEM file of public keys; a model that none of them has signed is refused.",
        type=INPUT,
        envvar="CLF_TRUSTED_KEYS",
    ),
)

reading_options = together(
    option(
        "--skip-other-languages",
        "Leave out lines of other languages quietly; otherwise they are bad lines.",
        is_flag=True,
    ),
    option(
        "--max-bad-share",
        "Give up when a larger share of the lines cannot be used.",
        type=click.FloatRange(0, 1),
        default=0.1,
    ),
)

search_options = together(
    option(
        "--seed",
        "Of all random choices: same data, options and seed, same digest.",
        type=click.IntRange(0, 2**31),
        default=0,
    ),
    option(
        "--search",
        "Settings to try by cross-validation: none takes the defaults, quick tries 23, full all 720.",
        type=click.Choice([str(effort) for effort in SearchEffort]),
        default=str(SearchEffort.QUICK),
    ),
    option("--folds", "Folds of the cross-validation.", type=click.IntRange(2, 100), default=5),
    option(
        "--c", "Pin C of the machines: larger fits the training documents closer.", type=click.FloatRange(1e-6, 1e6)
    ),
    option(
        "--class-weight",
        "Pin the class weight: balanced lets the documents of a rare class count for as much as all the others.",
        type=click.Choice(["none", "balanced"]),
    ),
    option("--ngrams", "Pin the longest run of words that is a term.", type=click.IntRange(1, 5)),
    option(
        "--prefix",
        "Pin to how many letters words are cut, which helps in inflected languages; 0 leaves them whole.",
        type=click.IntRange(0, 50),
    ),
    option("--min-df", "Pin in how many documents a term must occur.", type=click.IntRange(1)),
    option(
        "--sublinear-tf/--no-sublinear-tf",
        "Pin whether repeated terms are dampened (1 + ln count).",
        default=None,
    ),
    option(
        "--term-weight",
        "Pin what a term counts for: its rarity (idf), that times how much it says about the classes (relevance), "
        "or more of the first and less of the second (steep).",
        type=click.Choice([str(weight) for weight in TermWeight]),
    ),
    option(
        "--thresholds",
        "When a class is a label: best-only, above one shared threshold, or above one of its own; "
        "auto lets cross-validated micro-F1 choose.",
        type=click.Choice([AUTO, *map(str, ThresholdRule)]),
        default=AUTO,
    ),
    option(
        "--fallback",
        "What a document gets that has no class above its threshold: its best class, or none. auto: best where every "
        "training document has one label, else what cross-validated micro-F1 prefers.",
        type=click.Choice([AUTO, *map(str, Fallback)]),
        default=AUTO,
    ),
)


def training_settings(values: Values) -> TrainingSettings:
    """The settings that the options of `search_options` say.

    Raises:
        click.UsageError: they contradict each other.
    """
    weight, rule, fallback = values["term_weight"], values["thresholds"], values["fallback"]
    if (rule, fallback) == (ThresholdRule.BEST_ONLY, Fallback.NONE):
        raise click.UsageError(
            "--thresholds best-only with --fallback none would leave every document without a label."
        )
    if values["prefix"] == 1:
        raise click.UsageError("--prefix must be 0 or at least 2: single letters are no terms.")
    pins = Pins(
        c=values["c"],
        class_weight=values["class_weight"],
        ngrams=values["ngrams"],
        min_df=values["min_df"],
        sublinear_tf=values["sublinear_tf"],
        term_weight=None if weight is None else TermWeight(weight),
        prefix=values["prefix"],
    )
    return TrainingSettings(
        seed=values["seed"],
        folds=values["folds"],
        search=SearchEffort(values["search"]),
        pins=pins,
        rule=None if rule == AUTO else ThresholdRule(rule),
        fallback=None if fallback == AUTO else Fallback(fallback),
    )


def corpus_rules(values: Values, min_documents: int) -> CorpusRules:
    """The rules that the options of `reading_options` say."""
    return CorpusRules(values["lang"], values["skip_other_languages"], values["max_bad_share"], min_documents)
