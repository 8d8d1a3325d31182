"""Sections that the pages of workers and servers share, and numbers as people read them."""

import math
from datetime import UTC, datetime

from worker.diagnosis.host import HostReason
from worker.diagnosis.slow_node import LIMITS, Diagnosis
from worker.page.page import NUMBER, SHARE, Column, Section
from worker.page.snapshots import Growth, Snapshot

_REASONS = {
    HostReason.CPU_STEAL: "CPU stolen by other machines",
    HostReason.CPU_THROTTLED: "CPU throttled by the quota",
    HostReason.IO_PRESSURE: "waiting for disks",
    HostReason.MEMORY_PRESSURE: "waiting for memory",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_TENTHS = 10


def number(value: float) -> str:
    """A count."""
    return f"{value:,.0f}"


def rate(value: float) -> str:
    """Something per second; with a digit behind the point where there are few in front."""
    return f"{value:,.1f}" if value < _TENTHS else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """A time in the unit that suits it."""
    if seconds is None:
        return "not known"
    if math.isinf(seconds):
        return "never"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    if seconds >= 1:
        return f"{rate(seconds)} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 or not seconds else f"{seconds * 1000:.2g} ms"  # noqa: PLR2004 - two digits matter


def moment(seconds: float) -> str:
    """A moment, to the second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def recent(seconds: float, now: float) -> str:
    """A moment of the past, without its date when that is today's."""
    then, today = datetime.fromtimestamp(seconds, UTC), datetime.fromtimestamp(now, UTC)
    return f"{then:%H:%M:%S}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M:%S}"


def build(now: Snapshot) -> str:
    """Version, Python and scorer."""
    found = next(iter(now.labels("clf_build_info")), {})
    return f"clf {found.get('version')}, Python {found.get('python')}, scorer {found.get('scorer')}"


def counted(title: str, first: str, name: str, label: str, growth: Growth) -> Section:
    """A counter by the values of one label, as far as there is anything to count."""
    totals, rates = growth.now.by(name, label), growth.rates(name, label)
    rows = [(key, number(total), rate(rates[key])) for key, total in totals.items() if total]
    columns = [Column(first), Column("since the start", NUMBER), Column("per second", NUMBER)]
    return Section(title, columns, rows, "" if rows else "None so far.")


def models(now: Snapshot) -> Section:
    """What is served."""
    found = sorted(
        tuple(labels[name] for name in ("lang", "version", "digest")) for labels in now.labels("clf_model_info")
    )
    columns = [Column("language"), Column("version"), Column("digest")]
    return Section("Models", columns, found, "" if found else "No model is served.")


def host(diagnosis: Diagnosis, *, watched: bool) -> Section:
    """What the host does to this process."""
    if not watched:
        return Section("Host", (), (), "Not watched (--slow-factor 0).")
    columns = [Column("the host"), Column("of the last window", SHARE), Column("counts from", NUMBER)]
    rows = [(_REASONS[reason], share, f"{100 * LIMITS[reason]:.0f} %") for reason, share in diagnosis.shares.items()]
    drift = f"p99 {duration(diagnosis.p99)}, usually {duration(diagnosis.baseline)}"
    if diagnosis.reasons:
        return Section("Host", columns, rows, f"Slow: {', '.join(sorted(diagnosis.reasons))}. {drift}.")
    return Section(
        "Host", columns, rows, f"{drift[0].upper()}{drift[1:]}." if diagnosis.p99 else "Too little work to judge by."
    )
