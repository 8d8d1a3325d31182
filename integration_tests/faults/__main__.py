"""`python -m integration_tests.faults`: run the suite and report."""

import random
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import IO

import click
import orjson

from integration_tests.faults.fault import Fault
from integration_tests.faults.faults import FAULTS
from integration_tests.faults.report import as_json, markdown, told
from integration_tests.faults.soak import SOAK
from integration_tests.faults.stage import Verdict
from integration_tests.faults.suite import trained, verdicts_of


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--fault", "names", multiple=True, type=click.Choice([f.name for f in FAULTS]), help="Only these. [all but soak]"
)
@click.option("--seed", type=click.IntRange(0), help="To repeat a run; without it a random one, which is printed.")
@click.option("--minutes", default=SOAK.rounds, show_default=True, type=click.IntRange(1), help="How long soak takes.")
@click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for the models, trained when there are none. [default: trained anew, and removed]",
)
@click.option("--json", "json_file", type=click.File("wb"), help="All figures as JSON to this file, - for stdout.")
def faults(
    names: tuple[str, ...], seed: int | None, minutes: int, models: Path | None, json_file: IO[bytes] | None
) -> None:
    """Break a system of real workers in every way in turn, and audit it after each.

    \b
    Exit codes: 0 all holds   1 something does not
    """  # noqa: D301 - \b is click's mark for a paragraph it must not wrap
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    click.echo(f"seed {seed}", err=True)
    wanted = [fault for fault in FAULTS if fault.name in names or not (names or fault.on_request)]
    chosen = [replace(fault, rounds=minutes) if fault is SOAK else fault for fault in wanted]

    def begins(fault: Fault) -> None:
        click.echo(f"[{len(verdicts) + 1}/{len(chosen)}] {fault.title}; rounds: {fault.rounds}", err=True)

    verdicts: list[Verdict] = []
    try:
        with tempfile.TemporaryDirectory(prefix="clf-faults-") as folder:
            directory = Path(folder)
            for verdict in verdicts_of(chosen, seed, trained(models or directory / "models"), directory, begins):
                verdicts.append(verdict)
                click.echo(told(verdict), err=True)
    finally:  # Ctrl-C, or a bug: what is known by then took long to find out
        click.echo(markdown(verdicts, {fault.name: fault.title for fault in FAULTS}))
        if json_file is not None:
            json_file.write(orjson.dumps([as_json(verdict) for verdict in verdicts]))
    sys.exit(not all(verdict.holds for verdict in verdicts))


faults()
