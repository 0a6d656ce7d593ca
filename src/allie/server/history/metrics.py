"""The fleet as metrics, for node_exporter's textfile collector: OpenMetrics, of gauges alone.

Gauges without time stamps are read alike by OpenMetrics and by Prometheus's own older form, which
the collector takes. Times are ages when the file was made; how old that is, the collector says
itself (node_textfile_mtime_seconds).

A label is a state, the name of an overlay or image of this store, or a host that is expected: never
what a report says. So a PC can neither add series nor choose their names. There is one series for
each PC, and one more for each that needs attention: docs/reference/fleet-metrics.md has the sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from allie.core.value import Value
from allie.server.fleet.fleet import ATTENTION, STATES, Fleet, SystemView
from allie.server.history import tally
from allie.server.history.tally import Count

_DAY = 86400
_DRIFTING = "PCs on which files were changed by hand, and put back, in a day."
OTHER = "other"  # the image of a system that has none of this store's
_Labels = tuple[tuple[str, str], ...]


class Metric(Value):
    """One gauge."""

    name: str
    help: str
    values: list[tuple[_Labels, float]]


def text(fleet: Fleet, images: Collection[str]) -> str:
    """All of them. images: the names of the store's images."""
    return "".join(map(_written, metrics(fleet, images))) + "# EOF\n"


def metrics(fleet: Fleet, images: Collection[str]) -> Iterator[Metric]:
    """All of them, those of the whole fleet first."""
    count = tally.tally(fleet)
    yield from _of_pcs(fleet, count)
    yield from _of_overlays(fleet, count)
    stand = Counter(
        (view.told.image if view.told.image in images else OTHER, view.state)
        for pc in fleet.pcs
        for view in pc.systems
    )
    yield Metric(
        "allie_fleet_systems",
        "Systems of PCs by image of this store and state.",
        [
            ((("image", image), ("state", state)), number)
            for (image, state), number in stand.items()
        ],
    )
    yield Metric(
        "allie_host_report_age_seconds",
        "Seconds since the last report of a PC arrived; none of one that never reported.",
        [_of_host(pc.host, max(0.0, fleet.now - pc.heard)) for pc in fleet.pcs if pc.heard],
    )
    yield Metric(
        "allie_host_attention",
        "1 for a PC that needs attention, by its state; the others have none.",
        [
            ((("host", pc.host), ("state", pc.state)), 1)
            for pc in fleet.pcs
            if pc.state in ATTENTION
        ],
    )


def _of_pcs(fleet: Fleet, count: Count) -> Iterator[Metric]:
    told = [pc.told for pc in fleet.pcs if pc.told]
    drifting = sum(any(_drifts(view, fleet.now) for view in pc.systems) for pc in fleet.pcs)
    states = [((("state", state),), count.states[state]) for state in STATES]
    yield Metric("allie_fleet_pcs", "PCs that are expected, by state.", list(states))
    for name, words, number in (
        ("reports_last_hour", "PCs whose last report came in the last hour.", count.reports),
        ("drifting_pcs", _DRIFTING, drifting),
        ("unreadable_reports", "Reports that cannot be read.", sum(bool(one.flaw) for one in told)),
        ("offered_fixes", "Hand fixes that PCs offer.", sum(len(each.fixes) for each in told)),
        ("troubles", "What could not be looked at on the server.", len(fleet.troubles)),
    ):
        yield Metric(f"allie_fleet_{name}", words, [((), number)])


def _drifts(view: SystemView, now: float) -> bool:
    return bool(view.drift) and now - view.told.change.at < _DAY


def _of_overlays(fleet: Fleet, count: Count) -> Iterator[Metric]:
    names = sorted(count.changed)
    ages = {name: max(0.0, fleet.now - count.changed[name]) for name in names}
    for name, words, values in (
        ("change_age_seconds", "Seconds since an overlay was last changed.", ages),
        ("following_systems", "Systems that follow an overlay.", count.following),
        ("reached_systems", "Systems that have an overlay's last change.", count.reached),
    ):
        yield Metric(
            f"allie_fleet_overlay_{name}",
            words,
            [((("overlay", each),), values[each]) for each in names],
        )


def _of_host(host: str, value: float) -> tuple[_Labels, float]:
    return (("host", host),), value


def _written(metric: Metric) -> str:
    lines = [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} gauge"]
    for labels, value in sorted(metric.values):
        pairs = ",".join(f'{name}="{_escaped(label)}"' for name, label in labels)
        shown = f"{{{pairs}}}" if pairs else ""
        lines.append(f"{metric.name}{shown} {value:.0f}")
    return "\n".join([*lines, ""])


def _escaped(label: str) -> str:
    """As both forms have it within quotes; the name of an overlay or image may be any."""
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
