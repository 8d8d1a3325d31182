"""`clf models`: which models there are, what is in one, whether it is sound, and which one is active."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.bundle import Manifest
from models.manifest import INDEX_NAME, MANIFEST_NAME
from models.store import DEFAULT_STORE, STORE_VARIABLE, Store, StoreError
from schemas.language import UNDETERMINED, normalise_language
from worker.lifecycle import ExitCode

_PIPE_WIDTH: Final = 200
_MAX_LINE: Final = 120
_DIGEST_CHARS: Final = 16


class RefusedError(click.ClickException):
    """The command was understood and cannot be carried out: exit code 3."""

    exit_code = ExitCode.CANNOT_START


class LanguageType(click.ParamType[str]):
    """A language code in any common form; becomes the normalised code."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's signature
        """Normalise "eng", "en-GB" and the like to "en"."""
        code = normalise_language(value)
        if code == UNDETERMINED:
            self.fail(f"{value!r} is not a language code such as en, deu or hy.", param, ctx)
        return code


store_option: Final = click.option(
    "--models",
    "store",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_STORE,
    envvar=STORE_VARIABLE,
    show_envvar=True,
    show_default=True,
    callback=lambda _context, _option, path: Store(path),
    help="Directory of the model store.",
)
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


@click.group()
def models() -> None:
    """List, inspect, verify and activate models.

    A store holds one directory per language and version. Workers and servers serve the active version
    of each language; another one that is activated takes its place while they run.
    """


@models.command("list")
@store_option
@json_option
def list_(store: Store, *, as_json: bool) -> None:
    """List all models, and say which version of each language is active.

    Only manifests are read; `clf models verify` reads everything.
    """
    with clear_errors():
        entries = list(_entries(store))
    if as_json:
        _print_json([_summary(entry) for entry in entries])
    elif entries:
        _print(_table(entries))
    else:
        click.echo(f"There are no models in {store.root}. Train one with: clf train --help")


@models.command()
@click.argument("lang", type=LanguageType())
@click.argument("version", required=False)
@store_option
@json_option
def show(lang: str, version: str | None, store: Store, *, as_json: bool) -> None:
    """Show one model: classes, thresholds, settings, training, metrics, files.

    Without VERSION the active one is shown.
    """
    with clear_errors():
        chosen = version or _require_active(store, lang)
        manifest = store.manifest(lang, chosen)
        entry = Entry(lang, chosen, store.active(lang) == chosen, manifest, None)
    if as_json:
        data = (store.path(lang, chosen) / MANIFEST_NAME).read_bytes()
        _print_json({"active": entry.active, **json.loads(data)})
    else:
        _print(_details(entry, manifest))
        _print(_classes(manifest))


@models.command()
@click.argument("lang", type=LanguageType())
@click.argument("version")
@store_option
def activate(lang: str, version: str, store: Store) -> None:
    """Make VERSION the one that serves: running workers and servers take it within seconds.

    It is loaded and verified first, golden documents included; when it is refused, the version that
    was active stays so, and the exit code is 3. Each process verifies it again before it serves;
    clf_model_info tells what does.
    """
    with clear_errors():
        before = _active_if_readable(store, lang)
        model = store.activate(lang, version)
    replaced = f", in place of {before}" if before not in (None, version) else ""
    click.echo(f"Version {model.version} ({model.digest}) of {model.lang} is active{replaced}.")


@models.command()
@click.argument("lang", type=LanguageType(), required=False)
@click.argument("version", required=False)
@store_option
def verify(lang: str | None, version: str | None, store: Store) -> None:
    """Load models as a worker would: hashes, shapes, numbers and golden scores.

    Without arguments all models of the store are verified, with LANG those of a language. Exit code 3
    when one is refused.
    """
    with clear_errors():
        chosen = [(lang, version)] if lang and version else list(_versions(store, lang))
    if not chosen:
        raise RefusedError(f"There is nothing to verify in {store.root}. Train a model with: clf train --help")
    refused = [problem for name, number in chosen if (problem := _verify_one(store, name, number))]
    if refused:
        raise RefusedError(f"{len(refused)} of {len(chosen)} models are refused. Train or copy them again.")


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a person can act on into one message and exit code 3."""
    try:
        yield
    except StoreError as error:
        raise RefusedError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Entry:
    """One bundle of a listing: its manifest, or why that is refused."""

    lang: str
    version: str
    active: bool
    manifest: Manifest | None
    problem: str | None


def _versions(store: Store, lang: str | None) -> Iterator[tuple[str, str]]:
    for name in store.languages():
        if lang in (None, name):
            yield from ((name, version) for version in store.versions(name))


def _entries(store: Store) -> Iterator[Entry]:
    for lang, version in _versions(store, None):
        active = store.active(lang) == version
        try:
            yield Entry(lang, version, active, store.manifest(lang, version), None)
        except StoreError as error:
            yield Entry(lang, version, active, None, str(error))


def _active_if_readable(store: Store, lang: str) -> str | None:
    """The active version; None also when the file is damaged, because activating is what repairs it."""
    try:
        return store.active(lang)
    except StoreError:
        return None


def _require_active(store: Store, lang: str) -> str:
    active = store.active(lang)
    if active is None:
        known = ", ".join(store.versions(lang)) or "none"
        raise StoreError(f"No version of {lang!r} is active in {store.root}; name one. There is: {known}.")
    return active


def _verify_one(store: Store, lang: str, version: str) -> str | None:
    """Print the outcome of one verification; the problem when there is one."""
    try:
        model = store.verify(lang, version)
    except StoreError as error:
        click.echo(f"refused  {lang}  {version}: {error}")
        return str(error)
    click.echo(f"ok       {lang}  {version}  {model.digest}")
    return None


def _summary(entry: Entry) -> dict[str, object]:
    """One entry as plain values; those that only a manifest knows are null without one."""
    manifest = entry.manifest
    return {
        "lang": entry.lang,
        "version": entry.version,
        "active": entry.active,
        "classes": manifest and len(manifest.classes),
        "terms": manifest and manifest.terms,
        "micro_f1": manifest and _micro_f1(manifest),
        "created": manifest and manifest.created,
        "digest": manifest and manifest.digest[:_DIGEST_CHARS],
        "problem": entry.problem,
    }


def _micro_f1(manifest: Manifest) -> float | None:
    """What training reached in cross-validation, or the metric itself where somebody measured it otherwise."""
    validated = manifest.metrics.get("cross_validation")
    value = (validated if isinstance(validated, dict) else manifest.metrics).get("micro_f1")
    return float(value) if isinstance(value, int | float) else None


def _table(entries: list[Entry]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("lang", "version", "active"):
        table.add_column(heading)
    for heading in ("classes", "terms", "micro-F1"):
        table.add_column(heading, justify="right")
    for heading in ("created", "digest"):
        table.add_column(heading)
    for entry in entries:
        table.add_row(*map(Text, _cells(entry)))
    return table


def _cells(entry: Entry) -> tuple[str, ...]:
    start = (entry.lang, entry.version, "yes" if entry.active else "")
    manifest = entry.manifest
    if manifest is None:
        return (*start, "", "", "", "", "refused, see: clf models verify")
    score = _micro_f1(manifest)
    return (
        *start,
        str(len(manifest.classes)),
        f"{manifest.terms:,}",
        "" if score is None else f"{score:.4f}",
        manifest.created,
        manifest.digest[:_DIGEST_CHARS],
    )


def _details(entry: Entry, manifest: Manifest) -> Table:
    rows = {
        "language": manifest.lang,
        "version": manifest.version + (" (active)" if entry.active else ""),
        "created": manifest.created,
        "digest": manifest.digest,
        "terms": f"{manifest.terms:,}",
        "fallback": manifest.fallback.value,
        "scorer": _scorer(manifest),
        "vectorizer": _plain(asdict(manifest.vectorizer)),
        "training": _plain(manifest.training),
        "metrics": _plain(manifest.metrics),
        "libraries": _plain(manifest.libraries),
        "files": "\n".join(f"{name}: {file.size:,} bytes" for name, file in manifest.files.items()),
    }
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _scorer(manifest: Manifest) -> str:
    if manifest.reference_only is not None:
        return f"reference only: {manifest.reference_only}"
    return "native" if INDEX_NAME in manifest.files else "native, without an index: it is built anew at every start"


def _plain(values: Mapping[str, object]) -> str:
    """A line per value, short enough to read; `--json` has them whole."""
    lines = ((name, json.dumps(value, ensure_ascii=False)) for name, value in values.items())
    return "\n".join(f"{name}: {line if len(line) <= _MAX_LINE else line[:_MAX_LINE] + ' ...'}" for name, line in lines)


def _classes(manifest: Manifest) -> Table:
    table = Table("class", box=box.SIMPLE_HEAD)
    table.add_column("threshold", justify="right")
    table.add_column("calibration slope", justify="right")
    table.add_column("calibration intercept", justify="right")
    calibration = manifest.calibration
    for name, *numbers in zip(
        manifest.classes, manifest.thresholds, calibration.slope, calibration.intercept, strict=True
    ):
        table.add_row(Text(name), *(f"{number:.4f}" for number in numbers))
    return table


def _print(table: Table) -> None:
    """As wide as the terminal; wide enough for everything when piped."""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
