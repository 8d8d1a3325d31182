"""The verdicts for people: a line while it runs, a table for BENCHMARKS.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from integration_tests.faults.stage import Verdict

_HEADER = (
    "| fault | rounds | documents | lost | doubled | reordered | other | longest gap, s | recovery, s | holds |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|--:|---|"
)


def told(verdict: Verdict) -> str:
    """One verdict, with all that does not hold."""
    if verdict.skipped:
        return f"{verdict.fault}: skipped. {verdict.skipped}"
    state = "holds" if verdict.holds else "BROKEN"
    first = f"{verdict.fault}: {state} ({verdict.documents:,} documents, seed {verdict.seed})"
    return "\n  ".join([first, *verdict.broken])


def as_json(verdict: Verdict) -> dict[str, Any]:
    """All figures of one."""
    return {**asdict(verdict), "holds": verdict.holds}


def markdown(verdicts: Sequence[Verdict], titles: Mapping[str, str]) -> str:
    """The table."""
    return "\n".join([_HEADER, *(_row(verdict, titles[verdict.fault]) for verdict in verdicts)])


def _row(verdict: Verdict, title: str) -> str:
    lost, doubled, reordered = (verdict.findings.get(kind, 0) for kind in ("missing", "doubled", "reordered"))
    other = sum(verdict.findings.values()) - lost - doubled - reordered
    gaps = ", ".join(f"{seconds:.1f} ({of})" for of, seconds in verdict.longest_gap.items())
    facts = "".join(f"; {name} {_number(value)}" for name, value in verdict.facts.items())
    recovery = "" if verdict.recovery is None else f"{verdict.recovery:.1f}"
    holds = "skipped" if verdict.skipped else "yes" if verdict.holds else "**no**"
    cells = (title + facts, verdict.rounds, f"{verdict.documents:,}", lost, doubled, reordered, other, gaps, recovery)
    return "| " + " | ".join(map(str, cells)) + f" | {holds} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:,.2f}"
