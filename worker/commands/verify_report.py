"""What `clf verify` says in the end: a table for people, JSON for scripts."""

from dataclasses import fields

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.audit.findings import MEANINGS, Example, Finding, PartitionReport, Report
from worker.commands.output import counted, printable, reader_may_leave
from worker.config import Topics

_COUNTS = ("documents", "results", "tombstones", "dead_letters", "recomputed")


def report_json(report: Report, topics: Topics, group: str) -> bytes:
    """The whole report as one JSON object on a line."""
    return (
        orjson.dumps(
            {
                "holds": report.holds,
                "topics": {name: getattr(topics, name) for name in ("documents", "classifications", "dead_letters")},
                "group": group,
                "findings": {finding: report.findings[finding] for finding in Finding},
                "partitions": [
                    {"partition": number} | _counts(seen) for number, seen in sorted(report.partitions.items())
                ],
                "models": [
                    {"lang": lang, "version": version, "digest": digest, "results": count}
                    for (lang, version, digest), count in sorted(report.models.items())
                ],
                "examples": [example._asdict() for example in report.examples],
            },
            option=orjson.OPT_NON_STR_KEYS,
        )
        + b"\n"
    )


def _counts(seen: PartitionReport) -> dict[str, object]:
    counts = {item.name: getattr(seen, item.name) for item in fields(PartitionReport)}
    return counts | {"findings": +seen.findings}


def tell_report(console: Console, report: Report, topics: Topics, group: str) -> None:
    """The same for people: the partitions, the models, the findings and the verdict."""
    with reader_may_leave():
        console.print(_partitions(report))
        if report.models:
            console.print(_models(report))
        for finding, count in report.findings.items():
            console.print(Text(f"\n{finding}: {count:,} {MEANINGS[finding]}", style="red"))
            for example in report.examples:
                if example.finding is finding:
                    console.print(Text(f"  {printable(example.place)}  {printable(example.detail)}"))
        console.print()
        console.print(_verdict(report, topics, group))


def tell_example(example: Example) -> str:
    """One finding on a line."""
    return f"{example.finding}: {printable(example.place)}  {printable(example.detail)}"


def _partitions(report: Report) -> Table:
    table = Table("partition", *(name.replace("_", " ") for name in _COUNTS), "committed", "lag", "findings")
    for column in table.columns:
        column.justify = "right"
    for number, seen in sorted(report.partitions.items()):
        counts = (f"{getattr(seen, name):,}" for name in _COUNTS)
        committed = "-" if seen.committed is None else f"{seen.committed:,}"
        found = Text(f"{seen.findings.total():,}", style="red" if seen.findings.total() else "green")
        table.add_row(str(number), *counts, committed, f"{seen.lag:,}", found)
    return table


def _models(report: Report) -> Table:
    table = Table("model", "digest", "results")
    table.columns[-1].justify = "right"
    for (lang, version, digest), count in sorted(report.models.items()):
        table.add_row(Text(printable(f"{lang}/{version}")), Text(printable(digest)), f"{count:,}")
    return table


def _verdict(report: Report, topics: Topics, group: str) -> Text:
    documents, lag = report.total("documents"), report.total("lag")
    waiting = f" {counted(lag, 'document')} still to be settled." if lag else ""
    if not report.holds:
        return Text(f"It does not hold: {counted(report.findings.total(), 'finding')}.{waiting}", style="bold red")
    if not documents:
        return Text(
            f"Nothing to check: group {group} has committed nothing of {topics.documents}.{waiting}", style="yellow"
        )
    unchecked = report.total("unchecked")
    older = f" {counted(unchecked, 'outcome')} of older documents left out." if unchecked else ""
    return Text(
        f"All holds: {counted(documents, 'document')}, each with exactly one outcome, in order.{waiting}{older}",
        style="bold green",
    )
