"""Conf scripts on a real root: when they run, how they end, and what is said of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tests import leftovers
from tests.tick.site import Site, TickPC, lone_pc, script
from tests.worlds.toy import Dir, File, Link, Tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root]
NOTE = "echo x >>/tmp/ran"


@pytest.fixture
def pc(tmp_path: Path) -> TickPC:
    return lone_pc(tmp_path / "pc")


def _age(pc: TickPC, name: str, seconds: float) -> None:
    """Make a done-file this much older (or, below zero, lie in the future)."""
    then = time.time() - seconds
    os.utime(pc.path(f"/root/done/{name}"), (then, then))


# --- when a script is due ----------------------------------------------------------------------


def test_exit_0_is_satisfied_until_its_content_changes(pc: TickPC) -> None:
    body = script(NOTE)
    pc.put({"root/conf/50a": body})
    assert pc.tick()["50a"]["state"] == "satisfied"
    first = pc.read("/root/done/50a").splitlines()[0]
    assert first == sha256(str(body.content).encode()).hexdigest()
    assert pc.path("/root/done").stat().st_mode & 0o777 == 0o700
    assert pc.tick()["50a"]["state"] == "satisfied"
    assert pc.count("/tmp/ran") == 1

    pc.put({"root/conf/50a": script(NOTE, "# and more")})
    known = pc.scripts()["50a"]
    assert known["state"] == "due"
    assert "content changed" in known["why"]
    pc.tick()
    assert pc.count("/tmp/ran") == 2


def test_the_word_done_satisfies_whatever_the_content(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(NOTE), "root/done/50a": "done\n"})
    assert pc.tick()["50a"]["state"] == "satisfied"
    pc.put({"root/conf/50a": script(NOTE, "# changed")})
    assert pc.tick()["50a"]["state"] == "satisfied"
    assert pc.count("/tmp/ran") == 0


@pytest.mark.parametrize("alarm", ["", "\n", "something else\n"])
def test_an_alarm_satisfies_nothing_and_stays(pc: TickPC, alarm: str) -> None:
    pc.put({"root/conf/50a": script(NOTE, "exit 1"), "root/done/50a": alarm})
    _age(pc, "50a", -7 * 86400)
    alarmed = pc.path("/root/done/50a").stat().st_mtime
    assert pc.tick(rc=1)["50a"]["state"] == "failing"
    assert pc.path("/root/done/50a").stat().st_mtime == alarmed
    assert pc.read("/root/done/50a") == alarm
    assert pc.count("/tmp/ran") == 1


def test_the_seeds_weekly_alarm(pc: TickPC) -> None:
    """`touch -d '+7 days'`: runs in full when the alarm has passed, else exits quickly."""
    pc.put(
        {
            "root/conf/50yum": script(
                "a=/root/done/50yum",
                '[ -e $a ] && [ "$(stat -c %Y $a)" -gt "$(date +%s)" ] && exit 75',
                NOTE,
                "mkdir -p /root/done; touch -d @$(($(date +%s) + 7 * 86400)) $a; exit 75",
            )
        }
    )
    for _ in range(3):
        assert pc.tick()["50yum"]["state"] == "waiting"
    assert pc.count("/tmp/ran") == 1
    _age(pc, "50yum", 10)
    pc.tick()
    assert pc.count("/tmp/ran") == 2


def test_a_done_file_that_is_no_regular_file_satisfies_nothing(pc: TickPC) -> None:
    pc.put({"word": "done\n", "root/conf/50a": script(NOTE), "root/done/50a": Link("/word")})
    assert pc.tick()["50a"]["state"] == "satisfied"
    assert pc.count("/tmp/ran") == 1
    assert not pc.path("/root/done/50a").is_symlink()
    assert pc.read("/word") == "done\n"
    pc.put({"root/conf/51b": script("true"), "root/done/51b/x": "a directory"})
    known = pc.tick(rc=1)["51b"]
    assert known["state"] == "failing"
    assert "root/done/51b" in known["why"]


def test_every_tick_leaves_no_done_file(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("# allie: every tick", NOTE)})
    for count in (1, 2):
        assert pc.tick()["50a"]["state"] == "satisfied"
        assert pc.count("/tmp/ran") == count
    assert not pc.path("/root/done/50a").exists()


def test_every_7d_and_a_clock_gone_back(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("# allie: every 7d", NOTE)})
    pc.tick()
    known = pc.tick()["50a"]
    assert (known["state"], pc.count("/tmp/ran")) == ("satisfied", 1)
    assert "due again in 7 d" in known["why"]
    _age(pc, "50a", 7 * 86400 - 700)
    pc.tick()
    assert pc.count("/tmp/ran") == 1
    _age(pc, "50a", 7 * 86400 + 1)
    assert "time has come again" in pc.scripts()["50a"]["why"]
    pc.tick()
    assert pc.count("/tmp/ran") == 2
    _age(pc, "50a", -1800)  # half an hour: clocks differ by that much, it is believed
    pc.tick()
    assert pc.count("/tmp/ran") == 2
    _age(pc, "50a", -7200)
    assert "clock went back" in pc.scripts()["50a"]["why"]
    pc.tick()
    assert pc.count("/tmp/ran") == 3


def test_hours_are_counted_from_the_beginning_of_a_tick(pc: TickPC) -> None:
    """Else what runs for a while would be late for the next tick, by that while."""
    pc.put({"root/conf/40first": script("# allie: every tick", "sleep 1.5; echo >/tmp/first")})
    pc.put({"root/conf/50a": script("# allie: every 10s", NOTE, "sleep 1.5")})
    began = time.time()
    pc.tick()
    done = pc.path("/root/done/50a").stat().st_mtime
    assert began - 1 < done < pc.path("/tmp/first").stat().st_mtime - 1
    for hour in (2, 3, 4):
        _age(pc, "50a", time.time() - pc.path("/root/done/50a").stat().st_mtime + 6)
        pc.tick()
        assert pc.count("/tmp/ran") == hour


def test_a_header_not_understood_is_said(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("# allie: evry 7d", "true")})
    assert "evry 7d" in pc.tick()["50a"]["why"]


@pytest.mark.real
@pytest.mark.parametrize("how", ["plain", "link", "link to a link"])
def test_on_change_wherever_the_script_is(tmp_path: Path, how: str) -> None:
    body = script("# allie: on-change /etc/foo", "echo x >>/tmp/ran")
    links: Tree = {"root/util/reload": body, "root/conf/50a": Link("../util/reload")}
    if how == "link to a link":
        links = {
            **links,
            "root/conf/50a": Link("/opt/reload"),
            "opt/reload": Link("/root/util/reload"),
        }
    site = Site(tmp_path, {"root/conf/50a": body} if how == "plain" else links)
    site.overlay({"etc/foo": "1\n", "etc/bar": "1\n"})
    site.join("--image", "img", "--overlays", "kit,common", "--no-timer")
    for count, changes in enumerate(["foo", "bar", "foo"], 1):
        assert site.pc.count("/tmp/ran") == (count + 1) // 2 if changes == "foo" else 2
        site.overlay({f"etc/{changes}": f"{count} more\n"})
        site.pc.tick()
    assert site.pc.count("/tmp/ran") == 3


# --- which files take part ---------------------------------------------------------------------


def test_numbering_and_ignored_names(pc: TickPC) -> None:
    note = script('echo "${0##*/}" >>/tmp/order')
    run = ("02b", "10a", "10B", "10_x", "100c", "9", "99.z-Z_1")
    ignored = "5x a1 50a.bak 50a~ 50a.orig 50a.rej 50a.swp 50a.dpkg-new 50a.dpkg-old".split()
    ignored += ["50a.rpmsave", "50a.rpmnew", "50##class.lab", "50 x", ".50", "50ä"]
    pc.put({f"root/conf/{name}": note for name in (*run, *ignored)})
    states = pc.tick()
    wanted = sorted(name for name in run if re.match("[0-9][0-9]", name))
    assert pc.read("/tmp/order").split() == wanted
    assert list(states) == ["00overlay", *wanted]


@pytest.mark.real
@pytest.mark.parametrize("name", ["50a.part", "50.part", "50-left", "50script.part", "9" * 240])
def test_a_name_that_ends_as_our_leftovers_do(tmp_path: Path, name: str) -> None:
    """Of two scripts that differ by that alone, each has a done-file of its own."""
    both: Tree = {f"root/conf/{each}": script(NOTE) for each in (name, name.replace(".part", ""))}
    site = Site(tmp_path, {**both, "etc/a": "a\n"})
    site.join("--image", "img", "--overlays", "kit,common", "--no-timer")
    for _ in range(3):
        known = site.pc.tick()
        assert known[name]["state"] == "satisfied", known[name]
    assert site.pc.count("/tmp/ran") == len(both)
    # What a kill left of one that was being written is no script's.
    site.pc.put({"root/done/.part": "half"})
    site.pc.tick()
    assert not site.pc.path("/root/done/.part").exists()
    assert site.pc.count("/tmp/ran") == len(both)


def test_a_script_that_is_too_large_to_be_read_is_its_own_problem(pc: TickPC) -> None:
    """A vendor's installer that unpacks itself, say."""
    pc.put({"root/conf/50a": script("exit 0"), "root/conf/60b": script(NOTE)})
    os.truncate(pc.path("/root/conf/50a"), 65 << 20)
    known = pc.tick(rc=1)["50a"]
    assert known["state"] == "failing"
    assert "/root/conf/50a is larger than 64 MiB" in known["why"]
    assert pc.count("/tmp/ran") == 1


def test_a_test_script_runs_only_by_name(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(NOTE, mode=0o644)})
    known = pc.tick()["50a"]
    assert (known["state"], pc.count("/tmp/ran")) == ("test", 0)
    pc.run("run-conf", "50a").ok()
    assert pc.count("/tmp/ran") == 1
    assert pc.scripts()["50a"]["state"] == "test"


def test_a_test_script_runs_by_its_own_interpreter(pc: TickPC) -> None:
    """As the kernel would start it: the first line names the program, and at most one argument."""
    show = File('#!/bin/sh\nprintf "<%s>" "$@"\n', 0o755)
    pc.put({"bin/show": show})
    pc.put({"root/conf/50a": File("#! /bin/show  -x y z \nno shell\n", 0o644)})
    done = pc.run("run-conf", "50a").ok()
    assert "<-x y z></root/conf/50a>" in done.out
    pc.put({"root/conf/51b": File("#!/bin/awk -f\nBEGIN { print 6 * 7 }\n", 0o644)})
    assert "42" in pc.run("run-conf", "51b").ok().out
    pc.put({"root/conf/52c": File("echo $((6 * 8))\n", 0o644)})
    assert "48" in pc.run("run-conf", "52c").ok().out


def test_by_name_whatever_its_state(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(NOTE), "root/conf/51b": script("echo >>/tmp/other")})
    pc.tick()
    pc.run("run-conf", "50a").ok()
    assert (pc.count("/tmp/ran"), pc.count("/tmp/other")) == (2, 1)
    assert pc.scripts()["51b"]["state"] == "satisfied"
    wrong = pc.run("run-conf", "60nothing")
    assert wrong.rc == 64
    assert "60nothing" in wrong.err
    assert pc.run("run-conf", "../../bin/sh").rc == 64


def test_a_script_that_fails_by_name_is_not_satisfied_any_more(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("[ ! -e /tmp/broken ]")})
    pc.tick()
    pc.put({"tmp/broken": ""})
    assert pc.run("run-conf", "50a").rc == 1
    assert pc.scripts()["50a"]["state"] == "failing"
    pc.path("/tmp/broken").unlink()
    assert pc.tick()["50a"]["state"] == "satisfied"


# --- how it ends -------------------------------------------------------------------------------


def test_75_is_waiting_and_quiet(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(NOTE, "exit 75")})
    for count in (1, 2):
        done = pc.run("run-conf").ok()
        assert (done.out, done.err, pc.count("/tmp/ran")) == ("", "", count)
    known = pc.scripts()["50a"]
    assert (known["state"], known["why"], known["code"]) == ("waiting", "exit 75", 75)


def test_failing_with_its_last_lines_and_since_when(pc: TickPC) -> None:
    pc.put(
        {
            "root/conf/50a": script("for i in 1 2 3 4 5 6 7; do echo line $i; done", "exit 3"),
            "root/conf/51b": script(NOTE),
        }
    )
    began = time.time()
    done = pc.run("run-conf")
    assert done.rc == 1
    assert "50a" in done.err
    assert "line 7" in done.err
    known = pc.scripts()["50a"]
    assert (known["state"], known["why"], known["code"]) == ("failing", "exit 3", 3)
    assert known["last"].splitlines() == [f"line {number}" for number in range(3, 8)]
    assert began - 1 < known["since"] < time.time() + 1
    assert pc.count("/tmp/ran") == 1, "the scripts after it run"
    again = pc.run("run-conf")
    assert (again.rc, again.err) == (1, ""), "what was said once is not said every hour"
    assert pc.scripts()["50a"]["since"] == known["since"]
    assert "failing" in pc.run("status").out


def test_what_a_script_gets(pc: TickPC) -> None:
    pc.put({"etc/allie/classes": "lab: pc[01-09]\nothers: x\n"})
    pc.put({"root/conf/50a": script("pwd", "cat", "env", "hostname", "umask")})
    out = pc.run("run-conf", "50a", env={"SECRET": "of the caller", "LC_ALL": "de_DE"}).ok().out
    lines = out.splitlines()
    assert lines[0] == "/"
    for wanted in (
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "ALLIE_SYSTEM=toy",
        "ALLIE_HOST=pc07",
        "ALLIE_CLASSES=lab",
        "ALLIE_FETCHED=/var/lib/allie/fetched",
        "ALLIE_TICK=1",
        "ALLIE_OFFLINE=1",
        "SYSTEMD_OFFLINE=1",
        "pc07",
        "0022",
    ):
        assert wanted in lines, wanted
    assert "SECRET" not in out
    assert "LC_ALL" not in out


def test_a_script_is_not_niced(pc: TickPC) -> None:
    """The tick runs low; a daemon that a script restarts shall not."""
    pc.put({"root/conf/50a": script("awk '{ print $19 }' /proc/self/stat")})
    argv = ["nice", "-n", "10", *pc.argv("run-conf", "50a")]
    assert subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout == "0\n"


def test_timeout_ends_the_whole_group(pc: TickPC) -> None:
    pc.put(
        {
            "root/conf/50a": script(
                "# allie: timeout 1s", "sleep 300 &", "echo began", "sleep 301", "echo not here"
            ),
            "root/conf/51b": script(NOTE),
        }
    )
    began = time.monotonic()
    known = pc.tick(rc=1)["50a"]
    assert time.monotonic() - began < 10
    assert known["state"] == "failing"
    assert "timeout" in known["why"]
    assert known["last"] == "began"
    assert pc.count("/tmp/ran") == 1
    assert not _running(pc, "sleep 30")


def test_timeout_of_one_that_is_deaf_to_term(pc: TickPC) -> None:
    body = script("# allie: timeout 1s", "trap '' TERM", "while :; do sleep 0.2; done")
    pc.put({"root/conf/50a": body})
    began = time.monotonic()
    assert "timeout" in pc.tick(rc=1)["50a"]["why"]
    assert time.monotonic() - began < 12


def test_a_script_may_tidy_up_when_its_time_is_up(pc: TickPC) -> None:
    lines = ("# allie: timeout 1s", "trap 'echo tidy >/tmp/ran; exit 9' TERM", "sleep 20 & wait")
    pc.put({"root/conf/50a": script(*lines)})
    assert pc.tick(rc=1)["50a"]["state"] == "failing"
    assert pc.read("/tmp/ran") == "tidy\n"


def test_timeout_none(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("# allie: timeout none", "sleep 1.2; " + NOTE)})
    assert pc.tick()["50a"]["state"] == "satisfied"


# --- scripts that the kernel does not start ----------------------------------------------------


def test_no_interpreter_line_runs_as_a_shell_would(pc: TickPC) -> None:
    pc.put({"root/conf/50a": File(NOTE + "\n", 0o755)})
    assert pc.tick()["50a"]["state"] == "satisfied"
    assert pc.count("/tmp/ran") == 1


def test_windows_line_ends_fail_in_test_mode_as_well(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(NOTE, head="#!/bin/sh\r", mode=0o644)})
    done = pc.run("run-conf", "50a")
    assert (done.rc, "/bin/sh\\r: not found (lines that end as on Windows" in done.out) == (1, True)


@pytest.mark.parametrize("head", ["#!/usr/bin/perl6", "#!/bin/sh\r"])
def test_an_interpreter_that_is_not_there(pc: TickPC, head: str) -> None:
    pc.put({"root/conf/50a": script(NOTE, head=head), "root/conf/51b": script(NOTE)})
    known = pc.tick(rc=1)["50a"]
    assert (known["state"], known["code"]) == ("failing", 127)
    assert head.strip() in known["last"].replace("\\r", "\r") or "CRLF" in known["last"]
    assert pc.count("/tmp/ran") == 1


def test_a_mount_without_exec(pc: TickPC) -> None:
    """A script on a noexec mount fails and says why; the others are not concerned."""
    pc.put({"conf/00overlay": script("true", mode=0o644), "conf/50a": script(NOTE)})
    mounted = (
        f"mount --bind {pc.root}/conf {pc.root}/root/conf &&"
        f" mount -o remount,bind,noexec {pc.root}/root/conf && exec "
    )
    argv = pc.argv("run-conf")
    position = argv.index("-c") + 1
    argv[position] = argv[position].replace("exec ", mounted)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    known = pc.scripts()
    assert "cannot be executed" in pc.log("50a")
    assert "50a" not in known, "what was mounted over is gone again"
    assert pc.count("/tmp/ran") == 0


def test_no_regular_file(pc: TickPC) -> None:
    pc.put({"root/conf/50a": Dir(), "root/conf/51b": Link("/nowhere")})
    known = pc.tick(rc=1)
    for name in ("50a", "51b"):
        assert (known[name]["state"], known[name]["why"]) == ("failing", "is not a regular file")


# --- output ------------------------------------------------------------------------------------


def test_output_without_end_is_cut_in_the_middle(pc: TickPC) -> None:
    lines = ("echo first", "yes 0123456789abcde | head -n 3200000", "echo last; exit 1")
    pc.put({"root/conf/50a": script(*lines)})
    known = pc.tick(rc=1)["50a"]
    log = pc.log("50a")
    assert 900_000 < len(log) < 1_100_000
    assert log.startswith("first\n012")
    assert log.endswith("\nlast\n")
    assert re.search(r"\[… 50\d{6} bytes left out …\]", log)
    assert known["last"].endswith("last")
    assert pc.path("/var/log/allie/50a.log").stat().st_mode & 0o007 == 0


def test_output_that_is_no_text(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script(r"printf '\377\033[31mred\000\n'; exit 1")})
    pc.tick(rc=1)
    shown = pc.run("status").out
    assert "\x1b" not in shown
    assert "red" in shown


def test_a_log_that_is_a_symlink_is_not_written_through(pc: TickPC) -> None:
    pc.put({"etc/precious": "kept\n", "var/log/allie/50a.log": Link("/etc/precious")})
    pc.put({"root/conf/50a": script("echo overwritten")})
    pc.tick(rc=None)
    assert pc.read("/etc/precious") == "kept\n"


# --- what is left in the background ------------------------------------------------------------


def test_the_end_is_its_process_not_its_output(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("sleep 20.5 &", "echo here")})
    began = time.monotonic()
    assert pc.tick()["50a"]["state"] == "satisfied"
    assert time.monotonic() - began < 20
    assert pc.log("50a") == "here\n"
    until(lambda: not _running(pc, "sleep 20.5"))


def test_scripts_cost_no_waiting(pc: TickPC) -> None:
    """Each of them once cost the 200 ms for which a background child's output is waited for."""
    pc.put({f"root/conf/{n}a": script("# allie: every tick", "true") for n in range(20, 40)})
    pc.tick()
    took = [each["seconds"] for each in pc.tick().values()]
    assert min(took) < 0.2, took


def test_one_that_kills_its_own_group(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("kill -9 0; sleep 5"), "root/conf/51b": script(NOTE)})
    known = pc.tick(rc=1)["50a"]
    assert known["state"] == "failing"
    assert pc.count("/tmp/ran") == 1


def test_one_that_kills_its_parent_and_all_it_can(pc: TickPC) -> None:
    """In another root, the tick itself is out of a script's reach."""
    pc.put({"root/conf/50a": script("kill -9 $PPID; kill -9 -1; exit 1")})
    pc.put({"root/conf/51b": script(NOTE)})
    pc.tick(rc=None)
    assert pc.count("/tmp/ran") == 1


def test_one_that_hangs_does_not_hang_a_second_tick(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("sleep 300")})
    tick = pc.spawn("run-conf")
    try:
        until(lambda: _running(pc, ": sleep 300"))
        assert pc.run("run-conf").rc == 75
    finally:
        os.killpg(tick.pid, signal.SIGKILL)
        tick.communicate()
    # A script outlives a tick that is killed, and is not started a second time beside itself.
    known = pc.tick()["50a"]
    assert known["state"] == "waiting"
    found = re.search(r"still running since an earlier tick \(pid (\d+)\)", known["why"])
    assert found
    os.killpg(int(found[1]), signal.SIGKILL)
    until(lambda: not _running(pc, "sleep 300"))


def test_signals_are_named(pc: TickPC) -> None:
    pc.put({"root/conf/50a": script("kill -SEGV $$")})
    known = pc.tick(rc=1)["50a"]
    assert known["state"] == "failing"
    assert "139" in known["why"] or "signal 11" in known["why"]


def _running(pc: TickPC, words: str) -> bool:
    """Whether a process of that root runs now; other tests have their own."""
    return any(words in each for each in leftovers.processes_below(pc.root, patience=0))
