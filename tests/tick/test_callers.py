"""Whoever starts a tick: what it inherits counts for nothing, and who stops it stops its script."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from allie.server import kit
from tests import leftovers
from tests.tick.site import Site, TickPC, lone_pc, script
from tests.worlds.toy import Tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.root]
STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
STUB = Path(kit.__file__).parents[1] / "stub/stub.sh"
# What a process shows of what it inherited
OWN = 0b11 << 31  # signals of the C library, for its threads
INHERITED = "grep '^Sig[BI]' /proc/self/status; umask; readlink /proc/self/fd/0"


@pytest.fixture
def pc(tmp_path: Path) -> TickPC:
    return lone_pc(tmp_path / "pc")


# --- who stops a tick --------------------------------------------------------------------------


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize(
    "body",
    [
        ["sleep 301"],
        ["trap '' HUP INT TERM QUIT", "while :; do sleep 0.3; done"],
        ["sleep 302 & sleep 303 | sleep 304"],
        ["# allie: timeout none", "exec >/dev/null 2>&1", "sleep 305"],
    ],
    ids=["plain", "deaf", "several", "silent"],
)
def test_the_script_that_runs_ends_with_its_tick(
    pc: TickPC, number: signal.Signals, body: list[str]
) -> None:
    wait = "[ -e /tmp/go ] || exit 75"
    pc.put({"root/conf/50a": script(wait, "echo >/tmp/began", *body), "tmp/go": ""})
    pc.put({"root/conf/60b": script("echo x >>/tmp/next")})
    tick = pc.spawn("run-conf")
    until(lambda: pc.path("/tmp/began").exists())
    tick.send_signal(number)
    time.sleep(0.1)
    tick.send_signal(number)  # whoever presses it twice does not leave half of it at work
    out, err = tick.communicate(timeout=60)
    assert tick.returncode == 128 + number, (out, err)
    assert b"Traceback" not in out + err
    assert not _running(pc, "sleep")
    assert pc.count("/tmp/next") == 0, "nothing goes on"
    pc.path("/tmp/go").unlink()
    assert pc.tick()["50a"]["why"] == "exit 75", "and it is started again, alone"


def test_whom_its_caller_made_deaf_goes_on(pc: TickPC) -> None:
    """`nohup`: the terminal may go away."""
    pc.put({"root/conf/50a": script("echo >/tmp/began; sleep 1; echo x >>/tmp/ran")})
    argv = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", *pc.argv("run-conf")]
    tick = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    until(lambda: pc.path("/tmp/began").exists())
    tick.send_signal(signal.SIGHUP)
    assert tick.wait(60) == 0
    assert pc.count("/tmp/ran") == 1


def test_a_script_is_known_before_it_does_anything(pc: TickPC) -> None:
    """A tick that is killed leaves a script at work, at whatever moment: never a second beside."""
    pc.put({"root/conf/50a": script("echo x >>/tmp/ran; while [ -e /tmp/go ]; do sleep 0.1; done")})
    pc.put({"tmp/go": ""})
    tick = pc.spawn("run-conf")
    until(lambda: pc.count("/tmp/ran") == 1)
    os.killpg(tick.pid, signal.SIGKILL)
    tick.communicate()
    assert "still running since an earlier tick" in pc.tick()["50a"]["why"]
    assert pc.count("/tmp/ran") == 1
    pc.path("/tmp/go").unlink()
    until(lambda: pc.tick()["50a"]["state"] == "satisfied")
    assert pc.count("/tmp/ran") == 2


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", ["join", "run-conf"])
def test_stopped_at_any_moment_nothing_is_left_at_work(tmp_path: Path, verb: str) -> None:
    """And the same command, or the next tick, goes on from there."""
    tree: Tree = {f"etc/many/{each}": f"{each}\n" for each in range(300)}
    site = Site(tmp_path, {**tree, "root/conf/50a": script("sleep 0.3; echo x >>/tmp/ran")})
    join = ["join", str(site.store), "--image", "img", "--no-timer"]
    if verb == "run-conf":
        site.pc.run(*join).ok()
    usual = _seconds(lambda: site.pc.run(*(join if verb == "join" else [verb])))
    for moment in range(1, 9):
        number = STOPS[moment % len(STOPS)]
        site.overlay({f"etc/many/{each}": f"{each} {moment}\n" for each in range(300)})
        if verb == "join":
            site.pc.path("/etc/allie/system").unlink(missing_ok=True)
            shutil.rmtree(site.pc.path("/var/lib/allie"), ignore_errors=True)
        started = site.pc.spawn(*(join if verb == "join" else [verb]))
        time.sleep(usual * moment / 8)
        started.send_signal(number)
        out, err = started.communicate(timeout=60)
        assert started.returncode in (128 + number, -number, 0), (moment, out, err)
        assert b"Traceback" not in out + err, (moment, err)
        assert not leftovers.processes_below(tmp_path, patience=2), moment
        site.pc.run(*(join if verb == "join" else [verb])).ok()
        assert site.pc.read("/etc/many/299") == f"299 {moment}\n"


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


SHELLS = [
    pytest.param(argv, id=argv[0])
    for argv in (["dash"], ["bash", "--posix"], ["busybox", "sh"])
    if shutil.which(argv[0])
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("whom", ["shell", "group"])
def test_who_stops_the_stub_stops_the_client(
    tmp_path: Path, shell: list[str], number: signal.Signals, whom: str
) -> None:
    """`systemctl stop` tells the shell alone; a terminal tells both."""
    client = tmp_path / "allie"
    client.write_text(
        f"#!/bin/sh\nrm -f $ALLIE_STARTING\necho $$ >{tmp_path}/pid\n"
        f"trap 'trap \"\" HUP TERM; sleep 0.3; echo x >>{tmp_path}/ended; exit 143' HUP TERM\n"
        "sleep 60 & child=$!; wait; kill $child; exit 9\n"
    )
    client.chmod(0o755)
    stub = tmp_path / "run-conf"
    text = STUB.read_text().replace("/usr/local/bin/allie", str(client))
    stub.write_text(text.replace("/run/allie", str(tmp_path)))
    started = subprocess.Popen([*shell, str(stub)], start_new_session=True)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
    (os.killpg if whom == "group" else os.kill)(started.pid, number)
    try:
        assert started.wait(30) == 128 + number
        assert (tmp_path / "ended").read_text() == "x\n", "it waits until the client has ended"
    finally:
        subprocess.run(["pkill", "-KILL", "-s", str(started.pid)], check=False)
    assert not list(tmp_path.glob("starting.*"))


# --- what a caller leaves a tick with ----------------------------------------------------------

CALLERS = {
    "ignored": "import signal as s; [s.signal(n, s.SIG_IGN) for n in s.valid_signals()"
    " if n not in (s.SIGKILL, s.SIGSTOP)]",
    "held back": "import signal as s; s.pthread_sigmask(s.SIG_BLOCK, s.valid_signals())",
    "umask": "import os; os.umask(0o077)",
    "without input": "import os; os.close(0)",
    "without output": "import os; os.close(1)",
    "without errors": "import os; os.close(2)",
    "without any": "import os; [os.close(n) for n in range(3)]",
    "where a directory was": "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "full output": "import os; os.dup2(os.open('/dev/full', 1), 1)",
    "few descriptors": "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 64))",
    "odd environment": "import os; os.environ.update(IFS='/', LANG='xx', LC_ALL='tr_TR.UTF-8',"
    " PYTHONPATH='/nowhere', PYTHONHOME='/nowhere', PYTHONWARNINGS='error', TMPDIR='/nowhere',"
    " RSYNC_RSH='false', RSYNC_OLD_ARGS='2', HOME='/nowhere', ENV='/nowhere', CDPATH='/')",
    "no environment": "import os; os.environ.clear()",
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _told(lone_pc(tmp_path_factory.mktemp("usual") / "pc"), "")


def _told(pc: TickPC, caller: str) -> str:
    """What a script finds in a tick that is started so; with some output to print."""
    pc.put({"root/conf/50a": script(INHERITED, "echo HOME=$HOME", "env | grep -v ^ALLIE | sort")})
    pc.put({"root/conf/60b": script("echo trouble", "exit 1"), "etc/keep": "kept\n"})
    lines = "import os, sys; env = dict(os.environ)"
    run = "os.execvpe(sys.argv[1], sys.argv[1:], os.environ)"
    argv = [sys.executable, "-c", f"{lines}; {caller or 'pass'}; {run}", *pc.argv("run-conf")]
    done = subprocess.run(
        argv,
        cwd=pc.path("/tmp"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        env={"PATH": os.environ["PATH"], "HOME": "/root", "TERM": "dumb"},
    )
    assert b"Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1, done
    assert pc.scripts()["60b"]["last"] == "trouble"
    return pc.log("50a")


@pytest.mark.parametrize("caller", CALLERS)
def test_nothing_of_a_callers_gets_to_a_script(pc: TickPC, usual: str, caller: str) -> None:
    told = _of_the_callers(_told(pc, CALLERS[caller]))
    assert told == _of_the_callers(usual)
    assert "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0022\n/dev/null" in told


def _of_the_callers(told: str) -> str:
    """Without TERM, and without the two signals that are the C library's own, for its threads."""

    def masked(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2], 16) & ~OWN:016x}"

    return re.sub(r"(Sig\w+:\t)([0-9a-f]{16})", masked, told).replace("TERM=dumb\n", "")


@pytest.mark.parametrize("only_reads", [True, False])
def test_nor_to_a_program(only_reads: bool) -> None:
    code = f"""
import os, signal as s
os.environ["PATH"] = "/nowhere"
for number in s.valid_signals() - {{s.SIGKILL, s.SIGSTOP}}:
    s.signal(number, s.SIG_IGN)
s.pthread_sigmask(s.SIG_BLOCK, s.valid_signals())
from allie.machine.programs import process, signals
signals.heed()
done = process.run(["grep", "^Sig[BI]", "/proc/self/status"], only_reads={only_reads})
print(done.out.decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    found = [int(mask, 16) & ~OWN for mask in re.findall(r"\t([0-9a-f]+)", done.stdout)]
    assert found == [0, 0], done


def test_several_signals_at_once_stop_it_once() -> None:
    """Ctrl-C, and the terminal goes at the same moment, as when a remote shell ends by it."""
    code = """
import os, signal as s
from allie.machine.programs import signals
signals.heed()
s.pthread_sigmask(s.SIG_BLOCK, signals.STOPS)
for number in signals.STOPS:
    os.kill(os.getpid(), number)
try:
    s.pthread_sigmask(s.SIG_UNBLOCK, signals.STOPS)
except signals.Stopped:
    os.kill(os.getpid(), s.SIGINT)
    print("put in order", sum(range(1000)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "put in order 499500\n", "")


def _running(pc: TickPC, words: str) -> bool:
    return any(words in each for each in leftovers.processes_below(pc.root, patience=1))
