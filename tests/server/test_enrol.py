"""`allie store enrol`, `retire`, `private`: with real keys, a real ssh-keyscan and a real sshd."""

from __future__ import annotations

import itertools
import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from allie.cli import main
from allie.core.errors import UsageError
from allie.server import store as stores
from allie.server import store_conf
from allie.server.doors import connections, enrolled, public_key, scan
from allie.server.places import ACCOUNT, Places
from tests.worlds.doors import Doors, can_be_opened
from tests.worlds.toy import make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root]
TYPES = ("ed25519", "ecdsa", "rsa")
TITLE = connections._TITLE


@pytest.fixture(autouse=True)
def _none_of_another_test_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_TITLE", "nobody's")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a pair of keys of each type, and another of ed25519."""
    made = tmp_path_factory.mktemp("keys")
    for name in (*TYPES, "other"):
        kind = "ed25519" if name == "other" else name
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "root@somewhere", "-f"]
        subprocess.run([*command, str(made / name)], check=True)
    return made


def public(keys: Path, name: str) -> str:
    return (keys / f"{name}.pub").read_text()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    stores.init(str(tmp_path / "store"))
    return tmp_path / "store"


def places(store: Path) -> Places:
    return store_conf.places(str(store))


def who(store: Path) -> dict[str, str]:
    return {each.host: each.key.short_kind for each in enrolled.read(places(store))}


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Allie:
    """The command line, in this process."""

    def __init__(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store, self.capsys = store, capsys

    def __call__(self, *words: str) -> Said:
        self.capsys.readouterr()
        code = main.main(["--store", str(self.store), "store", *words])
        return Said(code, *self.capsys.readouterr())


@pytest.fixture
def allie(store: Path, capsys: pytest.CaptureFixture[str]) -> Allie:
    return Allie(store, capsys)


# --- by hand -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_host_is_enrolled_by_the_line_of_its_key(
    allie: Allie, store: Path, keys: Path, kind: str
) -> None:
    said = allie("enrol", "PC07", public(keys, kind))
    assert said.code == 0
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", f"{keys / kind}.pub"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[1] in said.out, "the fingerprint as ssh-keygen has it"
    assert who(store) == {"pc07": kind}
    assert str(store / "private/pc07") in said.out
    # without quotes, as people type it
    assert allie("enrol", "pc08", *public(keys, "other").split()).code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("pc07",), "needs HOST KEY"),
        ((), "needs HOST KEY"),
        (("a/b", "ssh-ed25519 AAAA"), "is no host's name"),
        (("10.0.0.7", "ssh-ed25519 AAAA"), "by its name"),
        (("pc07", "ssh-ed25519 AAAA"), "not whole"),
        (("pc07", "/etc/ssh/ssh_host_ed25519_key.pub"), "no public key"),
        (("--scan",), "needs hosts"),
        (("--scan", "pc[1-20000]", "--yes"), "does not say which hosts"),
        (("--scan", "pc*", "--yes"), "does not say which hosts"),
        (("--scan", "pc07=-oProxyCommand=x", "--yes"), "is no address"),
        (("--scan", "--list"), "three ways"),
        (("--known-hosts", "/nowhere"), "/nowhere is missing"),
        (("--json", "pc07", "ssh-ed25519 AAAA"), "no JSON"),
    ],
)
def test_a_mistake_is_said_in_a_line(allie: Allie, words: tuple[str, ...], expected: str) -> None:
    said = allie("enrol", *words)
    assert said.code == 64
    assert expected in said.err
    assert "Traceback" not in said.err


def test_a_clone_is_refused_with_what_to_do(allie: Allie, store: Path, keys: Path) -> None:
    assert allie("enrol", "pc07", public(keys, "ed25519")).code == 0
    said = allie("enrol", "pc08", public(keys, "ed25519"))
    assert said.code == 1
    assert "this is the key of pc07" in said.err
    assert "ssh-keygen -A" in said.err
    assert who(store) == {"pc07": "ed25519"}


def test_a_pc_that_was_installed_anew(allie: Allie, store: Path, keys: Path) -> None:
    allie("enrol", "pc07", public(keys, "ed25519"))
    said = allie("enrol", "pc07", public(keys, "other"))
    assert (said.code, "--replace" in said.err) == (1, True)
    said = allie("enrol", "pc07", public(keys, "other"), "--replace")
    assert (said.code, "its key no more" in said.out) == (0, True)
    (one,) = enrolled.read(places(store))
    assert str(one.key) == " ".join(public(keys, "other").split()[:2])


def test_the_list_is_for_people_and_for_programs(allie: Allie, store: Path, keys: Path) -> None:
    allie("enrol", "pc07", public(keys, "ed25519"))
    allie("private", "pc09")
    (store / "inbox/pc07").rmdir()
    lines = allie("enrol", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["pc07", "pc09"]
    assert "has no inbox" in lines[0]
    assert "is not enrolled" in lines[1]
    rows = json.loads(allie("enrol", "--list", "--json", "pc[01-08]").out)
    assert [(row["host"], row["type"], row["private"], row["inbox"]) for row in rows] == [
        ("pc07", "ed25519", True, False)
    ]


def test_the_inbox_is_the_accounts_once_there_is_one(
    store: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allie.server.doors.host_places.INBOX_ACCOUNT", "nobody")
    enrolled.enrol(places(store), {"pc07": public_key.parse(public(keys, "rsa"))})
    assert (store / "inbox/pc07").stat().st_uid == 65534
    assert (store / "private/pc07").stat().st_uid == 0


# --- found ---------------------------------------------------------------------------------------


@pytest.fixture
def door(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """The store's doors, open, and not those of another test."""
    if can_be_opened():
        pytest.skip(can_be_opened())
    monkeypatch.setattr(connections, "_TITLE", TITLE)
    with Doors(store, tmp_path / "work") as doors:
        yield doors


def test_a_room_is_scanned(allie: Allie, store: Path, door: Doors) -> None:
    port = ("--port", str(door.ssh_port))
    words = ("enrol", "--scan", "pc[07-08]=127.0.0.[1,9]", "pc09=nosuch.invalid", *port)
    key = public_key.parse((door.etc / "ssh_host_ed25519_key.pub").read_text())
    said = allie(*words)
    assert said.code == 64, "nobody is here to say yes"
    assert key.fingerprint in said.out
    assert "pc08: does not answer" in said.err
    assert "pc09: nosuch.invalid has no address" in said.err
    assert "`allie status` on a PC that has no sshd shows how" in said.err
    assert allie("enrol", "--scan", "no.invalid").err.startswith("no.invalid has no address\n")
    assert who(store) == {}
    said = allie(*words, "--yes")
    assert said.code == 1, "one did not answer"
    assert who(store) == {"pc07": "ed25519"}
    said = allie("enrol", "--scan", "pc07=127.0.0.1", *port)
    assert (said.code, said.out) == (0, "1 enrolled already\n")
    said = allie("enrol", "--scan", "pc09=127.0.0.1", *port, "--yes")
    assert (said.code, "this is the key of pc07" in said.err) == (1, True)


@pytest.mark.parametrize(("answer", "code", "hosts"), [("y", 0, {"pc07"}), ("", 64, set())])
def test_somebody_who_sits_there_is_asked(
    store: Path, door: Doors, answer: str, code: int, hosts: set[str]
) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "allie.cli.main", "--store", str(store), "store", "enrol"]
    command += ["--scan", "pc07=127.0.0.1", "--port", str(door.ssh_port)]
    at_work = subprocess.Popen(command, stdin=terminal, stdout=subprocess.PIPE, text=True)
    os.write(controller, f"{answer}\n".encode())
    out, _ = at_work.communicate()
    os.close(controller)
    os.close(terminal)
    assert at_work.returncode == code
    assert "SHA256:" in out
    assert "[y/N]" in out
    assert set(who(store)) == hosts


def test_keys_of_a_known_hosts(tmp_path: Path, keys: Path) -> None:
    good, other, rsa = (public(keys, each) for each in ("ed25519", "other", "rsa"))
    file = tmp_path / "known"
    file.write_text(
        f"# a comment\n\npc07,10.0.0.7 {rsa}PC07 {good}[pc08]:2222 {other}"
        f"pc09.lab {other}two {good}two {other}odd ssh-dss AAAA\n10.0.0.9 {rsa}"
        f"@revoked pc10 {other}@cert-authority *.lab {rsa}broken\n"
    )
    found = scan.in_known_hosts(str(file), {})
    assert {host: key.short_kind for host, key in found.keys.items()} == {
        "pc07": "ed25519",
        "pc09.lab": "ed25519",
    }
    said = "\n".join(found.said)
    for words in ("@revoked", "@cert-authority", "two: has two ed25519 keys", "odd: 'ssh-dss'"):
        assert words in said
    assert "AAAA" in said or "pc10" in said
    named = scan.addresses(["pc09=pc09.lab", "pc30"])
    found = scan.in_known_hosts(str(file), named)
    assert (list(found.keys), found.said[-1]) == (["pc09"], f"pc30: is not in {file}")
    assert list(scan.in_known_hosts(str(file), {"pc08": "pc08"}, 2222).keys) == ["pc08"]


def test_hashed_names_are_found_for_the_hosts_that_are_named(tmp_path: Path, keys: Path) -> None:
    file = tmp_path / "known"
    file.write_text(f"pc07 {public(keys, 'ed25519')}[pc08]:2222 {public(keys, 'rsa')}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    file.write_text(f"{file.read_text()}|1|x|y ssh-x z\n|1|broken ssh-x z\n")
    assert "pc07" not in file.read_text()
    found = scan.in_known_hosts(str(file), scan.addresses(["PC[06-07]"]))
    assert {host: key.short_kind for host, key in found.keys.items()} == {"pc07": "ed25519"}
    assert list(scan.in_known_hosts(str(file), {"pc08": "pc08"}, 2222).keys) == ["pc08"]
    found = scan.in_known_hosts(str(file), {})
    assert not found.keys
    assert "4 names in it are hashed" in found.said[0]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["pc07"], {"pc07": "pc07"}),
        (["PC[08-10].lab"], {f"pc{n}.lab": f"PC{n}.lab" for n in ("08", "09", "10")}),
        (["pc[1-2]=10.0.0.[1-2]", "x"], {"pc1": "10.0.0.1", "pc2": "10.0.0.2", "x": "x"}),
        (["a[1-2]b[3,5]"], {e: e for e in ("a1b3", "a1b5", "a2b3", "a2b5")}),
        (["pc07=fe80::1%eth0"], {"pc07": "fe80::1%eth0"}),
    ],
)
def test_hosts_as_they_are_named(words: list[str], named: dict[str, str]) -> None:
    assert scan.addresses(words) == named


@pytest.mark.parametrize(
    "word",
    ["", "pc*", "pc[a-c]", "pc[2-1]", "pc[1-2]=x", "=x", "a=b c", "pc[1-99999999999999999999]",
     "a[1-999]b[1-999]", "-f", "a=-f", "a\nb", "a=b\nc", "10.0.0.1"],
)  # fmt: skip
def test_hosts_that_cannot_be_told(word: str) -> None:
    with pytest.raises(UsageError):
        scan.addresses([word])


# --- retired -------------------------------------------------------------------------------------


class Caller:
    """A PC that asks for its private place, slowly, or has connected and asks for nothing."""

    def __init__(self, door: Doors, host: str, to: Path | None) -> None:
        ssh = door.ssh_words(host)
        pull = ["rsync", "-r", "--bwlimit=100", "-e", shlex.join(ssh)]
        pull += [f"{ACCOUNT}@127.0.0.1::private/", str(to)]
        self.at_work = subprocess.Popen(
            pull if to else [*ssh, "-N", f"{ACCOUNT}@127.0.0.1"],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.at_work.pid, signal.SIGKILL)
        self.at_work.communicate()

    def goes_on(self, seconds: float = 0.5) -> bool:
        try:
            self.at_work.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def refused(self) -> str:
        words = self.at_work.communicate(timeout=30)[1]
        return words if self.at_work.returncode else ""


def wait_for(what: Path) -> None:
    until(lambda: what.is_dir() and any(what.iterdir()), f"something comes to {what}")


def test_what_a_retired_host_is_doing_ends_and_others_go_on(
    allie: Allie, store: Path, keys: Path, door: Doors, tmp_path: Path
) -> None:
    """A transfer of its own, and a connection on which it could still ask, but no other's."""
    for host, key in (("pc07", "rsa"), ("pc08", "other")):
        shutil.copy(keys / key, door.work / f"key-{host}")
        allie("enrol", host, public(keys, key))
        (store / f"private/{host}/large").write_bytes(os.urandom(8 << 20))
    callers = {
        "its own": Caller(door, "pc07", tmp_path / "own"),
        "its idle one": Caller(door, "pc07", None),
        "another's": Caller(door, "pc08", tmp_path / "other"),
    }
    try:
        wait_for(tmp_path / "own")
        wait_for(tmp_path / "other")
        assert [name for name, each in callers.items() if not each.goes_on()] == []
        said = allie("retire", "pc07")
        assert said.code == 0
        assert "ended" in said.out
        assert callers["its own"].refused()
        assert not callers["its idle one"].goes_on(5)
        assert callers["another's"].goes_on()
        assert "Permission denied" in door.rsync("pc07", "--list-only", "private/").stderr
    finally:
        for each in callers.values():
            each.end()
    assert who(store) == {"pc08": "ed25519"}
    assert (store / "private/pc07/large").exists(), "what is here stays until --purge"


def test_a_users_process_of_that_name_is_left_alone() -> None:
    environment = {"ALLIE_HOST": "pc07", "PATH": os.environ["PATH"]}
    command = ["setpriv", "--reuid=65533", "--clear-groups", "sleep", "30"]
    users = subprocess.Popen(command, env=environment)
    roots = subprocess.Popen(["sleep", "30"], env={**environment, "ALLIE_HOST": "pc0"})
    try:
        time.sleep(0.3)
        assert connections.end("pc07") == 0
        assert (users.poll(), roots.poll()) == (None, None)
        assert connections.end("pc0") == 1
        assert roots.wait(5) == -9
    finally:
        for each in (users, roots):
            each.kill()
            each.wait()


def test_who_hides_between_transfers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now idle, now beginning something that has no name yet, for as long as it likes."""
    its = connections.Running(10, 0, 1, is_door=True)
    others = connections.Running(20, 0, 1, is_door=True)
    begins = connections.Running(11, 0, 10)
    sends = connections.Running(21, 0, 20, "pc08")
    seen = itertools.cycle([[its, others], [its, begins, others, sends]])
    ended: set[connections.Running] = set()

    def end(those: Iterable[connections.Running]) -> int:
        ended.update(those)
        return 0

    monkeypatch.setattr(connections, "_processes", lambda: iter(next(seen)))
    monkeypatch.setattr(connections, "_end", end)
    connections.end("pc07")
    assert ended == {its}


def test_with_withdraw_its_files_go_first_and_its_key_after_its_report(
    allie: Allie, store: Path, keys: Path
) -> None:
    allie("enrol", "pc07", public(keys, "rsa"))
    own = store / "private/pc07"
    (own / "etc").mkdir()
    (own / "etc/key").write_text("secret\n")
    said = allie("retire", "pc07", "--withdraw")
    assert said.code == 1
    assert os.listdir(own) == [".allie-withdraw"]
    assert own.stat().st_mode & 0o777 == 0o700
    assert (store / "private/.withdrawn/pc07/1/etc/key").exists()
    assert who(store) == {"pc07": "rsa"}, "it must still be able to come"
    said = allie("retire", "pc07", "--withdraw")
    assert (said.code, "has not reported since" in said.out) == (1, True)
    time.sleep(0.05)
    (store / "inbox/pc07/report").write_text("{}")
    assert allie("retire", "pc07", "--withdraw").code == 0
    assert who(store) == {}
    said = allie("retire", "pc07", "--purge")
    assert said.code == 0
    assert not list(store.glob("*/pc07")) + list(store.glob("private/.withdrawn/*"))
    said = allie("retire", "pc07")
    assert (said.code, "is not enrolled" in said.err) == (64, True)


def test_a_host_that_is_not_there_is_not_guessed(allie: Allie, store: Path, keys: Path) -> None:
    make_tree(store / "overlays/common", {"etc/allie/classes": "lab: pc[60-69]\n"})
    said = allie("retire", "pc66")
    assert (said.code, "out of lab in" in said.err) == (64, True)
    allie("enrol", "pc07", public(keys, "rsa"))
    said = allie("retire", "pc70")
    assert (said.code, "did you mean pc07?" in said.err) == (64, True)


def test_the_private_place_is_made_before_the_host_is_known(allie: Allie, store: Path) -> None:
    said = allie("private", "PC07")
    assert said.code == 0
    assert (store / "private/pc07").stat().st_mode & 0o777 == 0o700
    for words in ("install -D -m 600", "overlay lint private/pc07", "store enrol pc07"):
        assert words in said.out
    assert allie("private", "../x").code == 64
