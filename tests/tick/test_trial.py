"""A new client that is broken in any way: the tick goes on, and nothing of it lives on."""

from __future__ import annotations

import io
import os
import sys
import time
import zipfile
from pathlib import Path

import pytest

from allie.machine.code import unpack
from allie.machine.namespaces import trial
from tests.tick.site import Site, archive
from tests.worlds.toy import File

CLIENT = "usr/local/bin/allie"
_MARK = f"a-kit-on-trial-{os.getpid()}"  # others run tests on this machine, too
_LEAVES_A_DAEMON = f"""
import os, signal, sys, time
for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 99)
        os.execv("/bin/sh", ["{_MARK}", "-c", "trap '' TERM HUP; while :; do sleep 1; done"])
    os._exit(0)
"""


def _lives() -> list[str]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{name}/cmdline").read_bytes().startswith(_MARK.encode()):
                found.append(name)
        except OSError:
            continue
    return found


def _try(program: str, seconds: float = 2) -> trial.Tried:
    return trial.run([sys.executable, "-I", "-S", "-c", program], seconds=seconds, most=65536)


@pytest.fixture(params=["in namespaces", "without"])
def contained(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are to be had, and (not root, a container) where not."""
    if request.param == "without":
        monkeypatch.setattr(trial, "NEWPID", -1)  # which the kernel refuses


@pytest.mark.usefixtures("contained")
@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("print('this works')", 0, "this works"),
        ("print('this does not'); raise SystemExit(3)", 3, "this does not"),
        ("raise SystemExit(3)", 3, "it ended with 3"),
        ("import time; time.sleep(1000)", -1, "did not end within 2 s"),
        ("while True: pass", -1, "did not end within 2 s"),
        ("import os, time; os.close(1); os.close(2); time.sleep(1000)", -1, "did not end"),
        ("while True: print('x' * 10000)", -1, "prints without end"),
        ("print('x' * (1 << 33))", 1, "MemoryError"),
        (f"{_LEAVES_A_DAEMON}print('gone')", 0, "gone"),
        (f"{_LEAVES_A_DAEMON}time.sleep(1000)", -1, "did not end"),
        (f"{_LEAVES_A_DAEMON}os.kill(os.getpid(), 9)", None, "it ended with"),
    ],
)
def test_it_ends_in_time_and_leaves_nothing(program: str, code: int | None, words: str) -> None:
    began = time.monotonic()
    tried = _try(program)
    assert time.monotonic() - began < 30
    assert code in (tried.code, None)
    assert words in tried.last_words()
    assert len(tried.out) <= 65536
    assert _lives() == []


@pytest.mark.root
def test_it_has_as_little_as_possible() -> None:
    tried = _try("print(open('/proc/self/status').read()); print(open('/proc/net/dev').read())")
    fields = dict(line.partition(":")[::2] for line in tried.out.decode().splitlines())
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0b10
    assert fields["NoNewPrivs"].strip() == "1"
    tried = _try("import socket; socket.create_connection(('127.0.0.1', 1), 1)")
    assert tried.code == 1
    assert "unreachable" in tried.last_words()


def _bomb() -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("__main__.py", b" " * (300 << 20))
    return body.getvalue()


@pytest.mark.parametrize("how", ["bomb", "random", "cut", "no program"])
def test_what_is_no_client_is_not_unpacked(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "CODE", str(tmp_path / "code"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    body = {"bomb": _bomb(), "random": os.urandom(99), "cut": archive().read_bytes()[:9999]}
    if how == "no program":
        with zipfile.ZipFile(tmp_path / "client", "w") as packed:
            packed.writestr("allie/core/x.py", b"no program\0")
    else:
        (tmp_path / "client").write_bytes(body[how])
    assert unpack.unpack(str(tmp_path / "client")) == ""
    assert not (tmp_path / "code").exists() or os.listdir(tmp_path / "code") == []


_SHELL = "#!/bin/sh\n"


@pytest.mark.root
@pytest.mark.real
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_files_come_however_bad_the_client_is(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/motd": "first\n"})
    site.join()
    placed = site.pc.path(f"/{CLIENT}")
    good = placed.read_bytes()
    ours = site.store / "overlays/kit" / CLIENT
    for how, body, mode in (
        ("empty", b"", 0o755),
        ("random", os.urandom(300_000), 0o755),
        (
            "hangs",
            b"import time\nprint('this client works', flush=True)\ntime.sleep(1000)\n",
            0o755,
        ),
        ("floods", b"while True: print('this client works' * 1000)\n", 0o755),
        ("bomb", _bomb(), 0o755),
        ("mode 0", good, 0),
        ("leaves a daemon", _LEAVES_A_DAEMON.encode(), 0o755),
        ("fifo", None, 0o755),
        ("link", None, 0o777),
    ):
        ours.unlink()
        if body is not None:
            ours.write_bytes(body)
            ours.chmod(mode)
        elif how == "fifo":
            os.mkfifo(ours, mode)
        else:
            ours.symlink_to("/nowhere")
        site.overlay({"etc/motd": f"{how}\n"})
        done = site.pc.run("run-conf")
        assert site.pc.read("/etc/motd") == f"{how}\n", (how, done)
        assert "Traceback" not in done.err, (how, done)
        assert placed.read_bytes() == good, (how, done)
        assert _lives() == [], how
    ours.unlink()
    ours.write_bytes(good)
    ours.chmod(0o755)
    assert site.pc.run("run-conf").rc == 0


@pytest.mark.root
@pytest.mark.real
@pytest.mark.root
def test_a_client_of_any_overlay_is_tried(tmp_path: Path) -> None:
    site = Site(tmp_path, {"etc/motd": "first\n"})
    site.join()
    good = site.pc.path(f"/{CLIENT}").read_bytes()
    site.overlay({CLIENT: File(b"no client\n", 0o755), "etc/motd": "second\n"})
    assert site.pc.run("run-conf").rc == 1
    assert site.pc.read("/etc/motd") == "second\n"
    assert site.pc.path(f"/{CLIENT}").read_bytes() == good


def test_another_systems_client_sees_that_system_and_no_more(tmp_path: Path) -> None:
    """Its root may have made it what it is."""
    system = tmp_path / "system"
    (system / "etc").mkdir(parents=True)
    (system / "etc/own").write_text("its own\n")
    (tmp_path / "secret").write_text("the base's\n")
    program = f"""
import os
print(open("{system}/etc/own").read())
for path in ("{tmp_path}/secret", "/etc/shadow", "/proc/1/root", "/var/lib/allie", "/root/.ssh"):
    print(os.path.exists(path))
for path in ("{system}/etc/own", "{tmp_path}/new", "/usr/new"):
    try:
        open(path, "a")
        print("WRITES", path)
    except OSError:
        pass
print(open("/proc/self/status").read() if os.path.exists("/proc/self") else "no /proc")
"""
    argv = [sys.executable, "-I", "-S", "-c", program]
    tried = trial.run(argv, seconds=10, most=65536, only=str(system))
    assert tried.code == 0, tried
    said = tried.out.decode()
    assert "its own" in said
    assert "True" not in said
    assert "WRITES" not in said
    assert (system / "etc/own").read_text() == "its own\n"
