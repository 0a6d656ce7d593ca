"""What arrives while a tick is running: scripts, classes, settings; and what is due by a change."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from allie.server import store
from tests.tick.site import Site, script
from tests.worlds.toy import File, Link, make_tree

pytestmark = [pytest.mark.root, pytest.mark.real]
NOTE = "echo x >>/tmp/ran"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, {"etc/motd": "common\n"})


def _settings(site: Site, overlays: str, where: Path | None = None) -> File:
    system = site.pc.read("/etc/allie/system").strip()
    lines = ["[allie]", f"store = {where or site.store}", f"[system {system}]"]
    return File("\n".join([*lines, f"image = {system}", f"overlays = {overlays}", ""]))


def test_scripts_that_arrive_run_in_the_same_tick(site: Site) -> None:
    site.overlay({"root/conf/50a": script(NOTE)})
    site.join()
    assert site.pc.count("/tmp/ran") == 1
    site.overlay({"root/conf/60b": script(NOTE), "root/conf/55c##host.pc07": script(NOTE)})
    states = site.pc.tick()
    assert {"60b", "55c"} < states.keys()
    assert site.pc.count("/tmp/ran") == 3
    assert site.pc.tick()["55c"]["state"] == "satisfied"
    assert site.pc.count("/tmp/ran") == 3


def test_a_script_may_write_another(site: Site) -> None:
    """One that comes later in the order runs in this tick, one that comes earlier in the next."""
    lines = [f"printf '#!/bin/sh\\n{NOTE}\\n' >/root/conf/{name}" for name in ("20a", "70c")]
    site.overlay({"root/conf/50b": script(*lines, "chmod +x /root/conf/20a /root/conf/70c")})
    site.join()
    assert site.pc.count("/tmp/ran") == 1
    states = site.pc.tick()
    assert site.pc.count("/tmp/ran") == 2
    assert states["20a"]["state"] == states["70c"]["state"] == "satisfied"


def test_one_that_is_withdrawn_is_not_run(site: Site) -> None:
    site.overlay({"root/conf/50a": script(NOTE, "exit 75")})
    site.join()
    (site.store / "overlays/common/root/conf/50a").unlink()
    assert "50a" not in site.pc.tick()
    assert site.pc.count("/tmp/ran") == 1


def test_new_classes_take_effect_at_once(site: Site) -> None:
    site.overlay({"etc/issue": "default\n", "etc/issue##class.lab": "lab\n"})
    site.overlay({"root/conf/50a": script("# allie: every tick", "echo $ALLIE_CLASSES >/tmp/c")})
    site.join()
    assert (site.pc.read("/etc/issue"), site.pc.read("/tmp/c")) == ("default\n", "\n")
    site.overlay({"etc/allie/classes": "lab: pc[01-09]\n"})
    site.pc.tick()
    assert (site.pc.read("/etc/issue"), site.pc.read("/tmp/c")) == ("lab\n", "lab\n")
    assert site.pc.status()["classes"] == ["lab"]


def test_a_slip_in_classes_changes_no_class(site: Site) -> None:
    site.overlay({"etc/issue": "default\n", "etc/issue##class.lab": "lab\n"})
    site.overlay({"etc/allie/classes": "lab: pc07\n"})
    site.join()
    site.overlay({"etc/allie/classes": "lab pc07\n", "etc/motd": "new\n"})
    states = site.pc.tick(rc=1)
    assert states["00overlay"]["state"] == "failing"
    assert "classes" in states["00overlay"]["last"]
    assert (site.pc.read("/etc/issue"), site.pc.read("/etc/motd")) == ("lab\n", "new\n")
    site.overlay({"etc/allie/classes": "lab: pc07\n# corrected\n"})
    site.pc.tick()
    assert site.pc.read("/etc/motd") == "new\n"


def test_other_overlays_take_effect_at_once(site: Site) -> None:
    site.overlay({"etc/motd": "lab\n", "root/conf/50lab": script(NOTE)}, "lab")
    site.join()
    assert site.pc.read("/etc/motd") == "common\n"
    site.overlay({"etc/allie/allie.conf": _settings(site, "kit, common, lab")})
    assert site.pc.tick()["50lab"]["state"] == "satisfied"
    assert site.pc.read("/etc/motd") == "lab\n"
    assert "lab" in site.pc.read("/etc/allie/allie.conf")
    site.overlay({"etc/allie/allie.conf": _settings(site, "kit, common")})
    assert "50lab" not in site.pc.tick()
    assert site.pc.read("/etc/motd") == "common\n"


def test_another_store_takes_effect_at_once(site: Site, tmp_path: Path) -> None:
    """Also where it lacks what the first one had: it was named on purpose, and does not lag."""
    other = tmp_path / "other"
    store.init(str(other))
    site.overlay({"etc/only-here": "first\n"})
    site.join()
    moved = _settings(site, "kit, common", other)
    make_tree(other / "overlays/common", {"etc/motd": "other\n", "etc/allie/allie.conf": moved})
    site.overlay({"etc/allie/allie.conf": moved})
    site.pc.tick()
    assert site.pc.read("/etc/motd") == "other\n"
    assert not site.pc.path("/etc/only-here").exists()
    assert site.pc.status()["contact"]["server"] == str(other)


def test_settings_that_would_cut_it_off_are_not_placed(site: Site) -> None:
    site.join()
    before = site.pc.read("/etc/allie/allie.conf")
    site.overlay({"etc/allie/allie.conf": "[allie]\nstore = /x\n", "etc/motd": "new\n"})
    done = site.pc.run("run-conf")
    assert done.rc == 1
    assert site.pc.read("/etc/allie/allie.conf") == before
    assert site.pc.read("/etc/motd") == "new\n"
    assert "allie.conf" in site.pc.run("status").out


# --- due again by a change ---------------------------------------------------------------------


def test_on_change(site: Site) -> None:
    head = ("# allie: on-change /etc/ssh/** /etc/motd", "cat /etc/ssh/sshd_config >>/tmp/seen")
    site.overlay({"root/conf/70sshd": script(*head), "etc/ssh/sshd_config": "1\n"})
    site.join()
    site.pc.tick()
    assert site.pc.read("/tmp/seen") == "1\n"
    site.overlay({"etc/ssh/sshd_config": "2\n"})
    site.pc.tick()
    site.overlay({"etc/unrelated": "x\n"})
    site.pc.tick()
    assert site.pc.read("/tmp/seen") == "1\n2\n"
    site.overlay({"etc/ssh/sshd_config##host.pc07": "variant\n"})
    site.pc.tick()
    assert site.pc.read("/tmp/seen") == "1\n2\nvariant\n", "a variant is made active before it runs"
    site.pc.put({"etc/ssh/sshd_config": "edited here\n"})
    site.pc.tick()
    assert site.pc.read("/tmp/seen") == "1\n2\nvariant\nvariant\n", "a repair is a change, too"
    for name in ("sshd_config", "sshd_config##host.pc07"):
        (site.store / "overlays/common/etc/ssh" / name).unlink()
    site.pc.tick(rc=1)
    assert site.pc.scripts()["70sshd"]["state"] == "failing", "so is a withdrawal"


@pytest.mark.parametrize("spelled", ["lib/a.d/x", "usr/lib/a.d/x"])
def test_on_change_by_either_spelling(site: Site, spelled: str) -> None:
    """The root has /lib -> usr/lib: whatever overlay and script say, both names are meant."""
    tails = ("a.d/x", "a.d/*", "**", "a.?/x")
    patterns = [f"{top}/{tail}" for top in ("/lib", "/usr/lib") for tail in tails]
    patterns += ["/nowhere/x", "/lib/b/x", "/[x]/lib/a.d/x"]
    for number, pattern in enumerate(patterns, 60):
        body = script(f"# allie: on-change {pattern}", f"echo x >>/tmp/{number}")
        site.overlay({f"root/conf/{number}s": body})
    site.overlay({spelled: "1\n"})
    site.join()
    site.overlay({spelled: "2\n"})
    site.pc.tick()
    ran = {pattern: site.pc.count(f"/tmp/{at}") for at, pattern in enumerate(patterns, 60)}
    assert ran == {
        pattern: 2 if at < len(patterns) - 3 else 1 for at, pattern in enumerate(patterns)
    }


@pytest.mark.parametrize("pattern", ["/etc/motd", "/etc/motd /etc/other"])
def test_due_only_where_something_was_changed(site: Site, pattern: str) -> None:
    """What is mounted cannot be replaced: no script runs for it, at whatever number of ticks."""
    site.overlay({"root/conf/70a": script(f"# allie: on-change {pattern}", NOTE)})
    site.join()
    done = site.pc.root / "root/done/70a"
    before = done.stat()
    site.overlay({"etc/motd": "new\n", "etc/other": "new\n"})
    motd = str(site.pc.root / "etc/motd")
    subprocess.run(["mount", "--bind", motd, motd], check=True)
    try:
        for _ in range(2):
            assert site.pc.run("run-conf").rc == 1
    finally:
        subprocess.run(["umount", motd], check=True)
    assert site.pc.read("/etc/motd") == "common\n"
    ran = 1 + ("other" in pattern)
    assert site.pc.count("/tmp/ran") == ran
    assert ran == 2 or (done.stat().st_ino, done.stat().st_mtime) == (
        before.st_ino,
        before.st_mtime,
    )
    assert [path.name for path in done.parent.iterdir() if path.name.startswith(".")] == []
    site.pc.tick()
    assert site.pc.read("/etc/motd") == "new\n"
    assert site.pc.count("/tmp/ran") == ran + 1


def test_status_says_what_made_a_script_due(site: Site) -> None:
    """Until it is satisfied, also where it fails; and only what happened last."""
    lines = "# allie: on-change /etc/**", "[ ! -e /tmp/fail ] || exit 3"
    site.overlay({"root/conf/70a": script(*lines)})
    site.join()
    site.overlay({"etc/motd": "new\n"})
    site.pc.run("run-conf", "00overlay").ok()
    tick = site.pc.status()["tick"]
    assert f" due        on-change /etc/motd, tick {tick}" in site.pc.run("status").out
    site.pc.put({"tmp/fail": ""})
    site.pc.tick(rc=1)
    assert f"(exit 3; on-change /etc/motd, tick {tick})" in site.pc.run("status").out
    (site.pc.root / "tmp/fail").unlink()
    assert site.pc.tick()["70a"]["state"] == "satisfied"
    assert [path.name for path in (site.pc.root / "root/done").glob(".*")] == []
    site.overlay({"root/conf/70a": script(*lines, "# once more")})
    site.pc.run("run-conf", "00overlay").ok()
    assert "its content changed, tick" in site.pc.run("status").out


def test_a_change_is_not_made_where_its_script_cannot_be_made_due(site: Site) -> None:
    """Of the done-files, that is; all others come, and it heals."""
    site.overlay({"root/conf/70a": script("# allie: on-change /etc/motd", NOTE)})
    site.join()
    site.overlay({"etc/motd": "new\n", "etc/other": "new\n"})
    done = site.pc.root / "root/done"
    subprocess.run(["chattr", "+a", done], check=True)
    try:
        failed = site.pc.run("run-conf")
    finally:
        subprocess.run(["chattr", "-a", done], check=True)
    assert "/etc/motd: script 70a waits for it, but /root/done refuses" in failed.err
    assert (site.pc.read("/etc/motd"), site.pc.read("/etc/other")) == ("common\n", "new\n")
    site.pc.tick()
    assert (site.pc.read("/etc/motd"), site.pc.count("/tmp/ran")) == ("new\n", 2)


def test_an_earlier_content_that_comes_back_is_due(site: Site) -> None:
    """A satisfied, B placed and fails, A placed again: its old done-file does not count."""
    site.overlay({"root/conf/50a": script(NOTE)})
    site.join()
    site.overlay({"root/conf/50a": script("exit 1")})
    site.pc.tick(rc=1)
    site.overlay({"root/conf/50a": script(NOTE)})
    site.pc.tick()
    assert site.pc.count("/tmp/ran") == 2


def test_from_test_mode_to_executable(site: Site) -> None:
    site.overlay({"root/conf/50a": script(NOTE, mode=0o644)})
    site.join()
    assert site.pc.tick()["50a"]["state"] == "test"
    site.pc.run("run-conf", "50a").ok()
    (site.store / "overlays/common/root/conf/50a").chmod(0o755)
    assert site.pc.tick()["50a"]["state"] == "satisfied"
    assert site.pc.count("/tmp/ran") == 2


def test_a_script_that_is_a_link(site: Site) -> None:
    """Two names, one text; a link leads inside the root, never to this machine's own file."""
    site.overlay({"root/util/note": script(NOTE), "root/conf/50a": Link("../util/note")})
    site.overlay({"root/conf/51b": Link("/root/util/note")})
    site.join()
    assert site.pc.count("/tmp/ran") == 2
    site.overlay({"root/conf/52c": Link("/usr/bin/env")})
    states = site.pc.tick(rc=None)
    assert states["50a"]["state"] == "satisfied"
    assert json.dumps(states["52c"]).find("Python") < 0
