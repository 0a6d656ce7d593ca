"""The same day with PCs that are nothing but their reports: for fleets of thousands.

`python -m tests.fleet.generated 5000` plays it: some minutes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from allie.core.change.report import SENT_AGAIN
from allie.core.stubs import FETCHER
from tests.fleet.hostile import report
from tests.fleet.story import BAD, DISK, Known, SimPC, Story, watched

ONE_IN = 40  # PCs is of each kind that something becomes of


class GeneratedDay(Story):
    """A store, and PCs of which there is only what they send."""

    def __init__(self, top: Path, count: int) -> None:
        super().__init__(top, count, ONE_IN)
        self._sent: dict[str, tuple[float, Known, str]] = {}
        self._did: dict[str, dict[str, Any]] = {}

    def join(self, pcs: Sequence[SimPC]) -> None:
        for pc in pcs:
            self.report(pc).parent.mkdir(mode=0o700, parents=True)
        self.run(pcs)

    def run(self, pcs: Sequence[SimPC]) -> None:
        """Each sends what is news, and once a day; as long as the server is there."""
        now = self.clock.now()
        for pc in pcs:
            at, before, name = self._sent.get(pc.host, (0.0, Known(), ""))
            if (pc.now.content, pc.now.drift) != (before.content, before.drift):
                self._did.setdefault(pc.host, {}).update(_did(pc.now, now + pc.ahead))
            same = (before, name) == (replace(pc.now, good=before.good), pc.name)
            if self.is_away or (same and now - at < SENT_AGAIN):
                continue
            self._sent[pc.host] = now, pc.now, pc.name
            self.report(pc).write_text(json.dumps(self._value(pc, now + pc.ahead)))

    def _value(self, pc: SimPC, at: float) -> dict[str, Any]:
        """Its report, at a time by its clock."""
        value = report(pc.name, at, system="busybox1")
        (own,) = value["systems"]
        good = pc.now.good + pc.ahead
        own["contact"].update(good=good, answered=good, refused=pc.now.refused)
        if pc.is_cut or pc.now.refused:
            own["contact"].update(trouble="held back" if pc.now.refused else "no answer")
        own.update(changed=self._did[pc.host], overlays=["kit", "common"])
        own.update(paused="somebody works here" if pc.now.paused else "")
        failing = {*pc.now.failing, *([FETCHER] if pc.now.refused else [])}
        own["scripts"] = [
            {"name": name, "state": "failing", "why": "exit 1", "since": at, "code": 1}
            if name in failing
            else {"name": name, "state": "satisfied", "why": "exit 0", "since": at, "code": 0}
            for name in (FETCHER, "01overact", DISK, *([BAD] if BAD in failing else []))
        ]
        return value


def _did(now: Known, at: float) -> dict[str, Any]:
    """What a tick did, if it changed something."""
    did = {"drift": [*now.drift]} if now.drift else {"changed": ["etc/motd"]}
    return {"tick": 1, "began": at, "did": did, "counts": dict.fromkeys(did, 1)}


def main() -> int:
    count = int((sys.argv[1:] or ["5000"])[0])
    with tempfile.TemporaryDirectory(prefix="allie-day-") as top:
        return watched(GeneratedDay(Path(top), count).told())


if __name__ == "__main__":
    sys.exit(main())
