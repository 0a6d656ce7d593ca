"""What the simulated day (tests/fleet) found wrong of how PCs are judged."""

from __future__ import annotations

import json
from typing import Any

from allie.server.fleet import judge, told
from allie.server.fleet.standing import SystemView
from tests.fleet.hostile import report

NOW = 1_800_000_000.0


def seen(overlays_changed: float, **more: Any) -> SystemView:
    """How a system is judged that reported just now."""
    value = report("pc07", NOW - 60)
    value["systems"][0].update(more)
    said = told.read("pc07", NOW - 60, json.dumps(value).encode())
    return judge.system(said, said.systems[0], overlays_changed, 0.0, None, NOW)


def test_one_that_takes_nothing_is_refused_and_not_failing() -> None:
    """00overlay fails then, too: that says less."""
    scripts = [{"name": "00overlay", "state": "failing", "code": 1}]
    contact = {"good": NOW - 900, "trouble": "held back: 10 of 10 would go", "refused": True}
    found = seen(NOW - 300, scripts=scripts, contact=contact)
    assert (found.state, found.worst.why) == ("refused", "held back: 10 of 10 would go")
    assert seen(NOW - 300, scripts=scripts).state == "failing"


def test_a_path_that_was_left_is_said_and_not_that_00overlay_fails() -> None:
    scripts = [{"name": "00overlay", "state": "failing", "code": 1}]
    problems = [{"path": "etc/motd", "message": "a tie"}]
    assert "etc/motd" in seen(NOW - 300, scripts=scripts, problems=problems).worst.why


def test_while_ticks_are_paused_nothing_arrives() -> None:
    before = {"began": NOW - 9999}
    assert seen(NOW - 300, changed=before).reached > 0
    assert seen(NOW - 300, changed=before, paused="an exam").reached == 0.0
