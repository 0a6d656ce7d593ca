"""Metrics: two parsers take them, a report adds no series, and what uses them names real ones."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_of
from prometheus_client.parser import text_string_to_metric_families as prometheus_of

from allie.server.fleet import judge
from allie.server.fleet.fleet import Fleet, Pc
from allie.server.fleet.told import HandFix, Told, ToldChange, ToldDoor, ToldScript, ToldSystem
from allie.server.history import metrics

NOW = 1_796_000_000.0
MONITORING = Path(__file__).parents[2] / "docs" / "monitoring"
RULES, DASHBOARD = MONITORING / "allie-rules.yml", MONITORING / "allie-dashboard.json"
PAGE = MONITORING.parent / "reference" / "fleet-metrics.md"
_OWN = Path(sys.executable).parent / "promtool"  # tools/setup takes it out of its package
PROMTOOL = shutil.which("promtool") or str(_OWN)
needs_promtool = pytest.mark.skipif(not shutil.which(PROMTOOL), reason="needs promtool")
ODD = 'odd"}\\\n# TYPE x\u2028'
_NAME = r"\ballie_(?:fleet|host)_[a-z_]+[a-z]\b"


def pc(host: str, *, image: str = "debian12", fails: bool = False, age: float = 60.0) -> Pc:
    system = ToldSystem(
        ODD,
        image,
        overlays=("kit", ODD),
        contact=ToldDoor(good=NOW - 30),
        scripts=(ToldScript(ODD, "failing", code=1),) if fails else (),
        change=ToldChange(NOW - 60, {"drift": ("etc/motd",)}),
    )
    fix = HandFix("etc/motd", "common", "etc/motd", "", b"")
    told = Told(host, NOW - age, name=ODD, kernel=ODD, systems=(system,), fixes=(fix,))
    silent = judge.silence(told, 0.0, NOW)
    return judge.pc(host, (), told, (judge.system(told, system, 0, 0, silent, NOW),), silent)


def fleet(*pcs: Pc) -> Fleet:
    nobody = judge.pc("srv9", ("classes",), None, (), judge.silence(None, 0.0, NOW))
    changed = {"kit": NOW - 3600, 'lab"\\x\n': NOW - 7200, "private/pc01": NOW}
    return Fleet(NOW, "/srv/allie", (*pcs, nobody), changed)


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All values, as both forms have them."""
    new, old = (
        {
            (each.name, frozenset(each.labels.items())): each.value
            for family in parsed
            for each in family.samples
        }
        for parsed in (openmetrics_of(text), prometheus_of(text))  # type: ignore[no-untyped-call]
    )
    assert new == old
    return new


def series(text: str, name: str, **labels: str) -> float:
    return samples(text)[name, frozenset(labels.items())]


def test_both_forms_say_the_same() -> None:
    text = metrics.text(fleet(pc("pc01"), pc("pc02", fails=True, image="mine")), {"debian12"})
    assert series(text, "allie_fleet_pcs", state="failing") == 1
    assert series(text, "allie_fleet_pcs", state="stale") == 0, "a state that nobody is in is there"
    assert series(text, "allie_fleet_reports_last_hour") == 2
    assert series(text, "allie_fleet_drifting_pcs") == 2
    assert series(text, "allie_fleet_offered_fixes") == 2
    assert series(text, "allie_fleet_systems", image="other", state="failing") == 1
    assert series(text, "allie_fleet_overlay_change_age_seconds", overlay='lab"\\x\n') == 7200
    assert series(text, "allie_fleet_overlay_reached_systems", overlay="kit") == 2
    assert series(text, "allie_host_report_age_seconds", host="pc02") == 60
    assert series(text, "allie_host_attention", host="srv9", state="missing") == 1
    assert ("allie_host_report_age_seconds", frozenset({("host", "srv9")})) not in samples(text)


def test_nothing_that_a_report_says_is_a_label() -> None:
    text = metrics.text(fleet(pc("pc01", fails=True, image=ODD)), {"debian12"})
    assert "odd" not in text and "private" not in text


def test_as_many_series_as_hosts_and_a_few() -> None:
    """Whatever they report: one each, and one more for each that needs attention."""
    hosts = [f"pc{at:03}" for at in range(200)]
    good = metrics.text(fleet(*map(pc, hosts)), ())
    odd = metrics.text(fleet(*(pc(each, image=f"{ODD}{each}") for each in hosts)), ())
    bad = metrics.text(fleet(*(pc(each, fails=True, image=each) for each in hosts)), ())
    few = metrics.text(fleet(), ())
    assert len(samples(good)) - len(samples(few)) <= len(hosts) + 2
    assert len(samples(odd)) == len(samples(good))
    assert len(samples(bad)) - len(samples(few)) <= 2 * len(hosts) + 2


def test_what_uses_them_names_real_ones_and_the_page_has_all() -> None:
    real = set(re.findall(r"^# TYPE (\S+) gauge$", metrics.text(fleet(), ()), re.M))
    assert len(real) > 8
    for page in (RULES, DASHBOARD):
        named = set(re.findall(_NAME, page.read_text()))
        assert named and named <= real, page.name
    documented = set(re.findall(rf"^\| `({_NAME})", PAGE.read_text(), re.M))
    assert documented == real


def test_the_dashboard_is_one() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    assert all(target["expr"] for each in panels for target in each["targets"])


@needs_promtool
def test_promtool_finds_nothing() -> None:
    text = metrics.text(fleet(pc("pc01"), pc("pc02", fails=True)), {"debian12"})
    argv = [PROMTOOL, "check", "metrics", "--extended"]
    done = subprocess.run(argv[:3], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done
    done = subprocess.run([PROMTOOL, "check", "rules", RULES], capture_output=True, text=True)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done


@needs_promtool
def test_the_alerts_sound_when_they_should(tmp_path: Path) -> None:
    """Rules at work: a PC that fails, a change that breaks a fifth, a timer that stopped."""
    case = tmp_path / "case.yml"
    case.write_text(_CASE.replace("RULES", str(RULES)))
    done = subprocess.run([PROMTOOL, "test", "rules", case], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


_CASE = r"""
rule_files: ["RULES"]
tests:
  - interval: 5m
    input_series:
      - series: 'allie_fleet_pcs{instance="srv", state="current"}'
        values: '80x48'
      - series: 'allie_fleet_pcs{instance="srv", state="failing"}'
        values: '0x12 20x36'
      - series: 'allie_fleet_pcs{instance="srv", state="off"}'
        values: '500x48'
      - series: 'allie_fleet_reports_last_hour{instance="srv"}'
        values: '60x48'
      - series: 'allie_fleet_overlay_reached_systems{instance="srv", overlay="lab"}'
        values: '10x48'
      - series: 'allie_fleet_overlay_following_systems{instance="srv", overlay="lab"}'
        values: '40x48'
      - series: 'allie_fleet_overlay_change_age_seconds{instance="srv", overlay="lab"}'
        values: '0+300x48'
      - series: 'allie_host_attention{instance="srv", host="pc07", state="failing"}'
        values: '_x12 1x36'
      - series: 'node_textfile_mtime_seconds{instance="srv", file="/var/lib/x/allie.prom"}'
        values: '0+300x24 7200x24'
    alert_rule_test:
      - {eval_time: 55m, alertname: AlliePcNeedsAttention, exp_alerts: []}
      - {eval_time: 55m, alertname: AllieManyFail, exp_alerts: []}
      - {eval_time: 55m, alertname: AllieServerDoesNotLook, exp_alerts: []}
      - {eval_time: 2h, alertname: AllieChangeDoesNotArrive, exp_alerts: []}
      - eval_time: 2h30m
        alertname: AlliePcNeedsAttention
        exp_alerts:
          - exp_labels: {severity: warning, instance: srv, host: pc07, state: failing}
            exp_annotations:
              summary: "pc07 is failing"
              todo: "allie fleet pc07"
      - eval_time: 2h
        alertname: AllieManyFail
        exp_alerts:
          - exp_labels: {severity: critical, instance: srv}
            exp_annotations:
              summary: "20% of the PCs that are heard of fail"
              todo: "allie fleet --failing; what changed before: allie fleet --log --since 3h"
      - eval_time: 3h50m
        alertname: AllieChangeDoesNotArrive
        exp_alerts:
          - exp_labels: {severity: warning, instance: srv, overlay: lab}
            exp_annotations:
              summary: "the last change of overlay lab has reached 25% of its systems"
              todo: "allie overlay lint; allie fleet --state behind"
      - eval_time: 3h
        alertname: AllieServerDoesNotLook
        exp_alerts:
          - exp_labels: {severity: critical, instance: srv, file: /var/lib/x/allie.prom}
            exp_annotations:
              summary: "the views of the fleet on srv are no longer made"
              todo: "systemctl status allie-fleet.service; journalctl -u allie-fleet"
"""
