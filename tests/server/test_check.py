"""`allie store serve --check` sees what is open that should not be; `setup` where is no systemd."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.server import store, store_conf
from allie.server.serving import check
from tests.worlds.doors import ENV, LINE, Doors, can_be_opened, with_two_hosts
from tests.worlds.store import free_port
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A store that is served as it should be."""
    with with_two_hosts(tmp_path_factory.mktemp("doors")) as doors:
        yield doors


def words(doors: Doors) -> list[str]:
    where = ["--port", str(doors.port), "--ssh-port", str(doors.ssh_port)]
    return ["store", "serve", "--check", "127.0.0.1", *where]


def rows(out: str) -> dict[str, list[str]]:
    """The cells of each line of the table."""
    split = [re.split("  +", line.strip()) for line in out.splitlines()]
    return {name: cells for name, *cells in split}


def leftovers(doors: Doors) -> list[str]:
    found = doors.store.rglob("*check.invalid*")
    return [
        *map(str, found),
        *re.findall(".*check.invalid", (doors.etc / "authorized_hosts").read_text()),
    ]


def test_all_is_well(doors: Doors) -> None:
    before = (doors.etc / "authorized_hosts").read_text()
    done = doors.allie(*words(doors))
    assert done.returncode == 0, done.stdout + done.stderr
    table = rows(done.stdout)
    assert table["read overlays"] == ["yes", "no", "yes", "yes"]
    assert table["read its own private"] == ["no", "no", "yes", "yes"]
    assert table["send a report"] == ["no", "no", "yes", "yes"]
    mays = (
        "read images",
        "read overlays",
        "read releases",
        "read its own private",
        "send a report",
    )
    for name in set(table) - {*mays, ""} - {each for each in table if "anybody" in table[each]}:
        if table[name][:1] != ["a stranger"]:
            assert set(table[name]) == {"no"}, name
    assert len(table) > 12
    assert not leftovers(doors)
    assert (doors.etc / "authorized_hosts").read_text() == before


HOLES = {
    # what somebody changed by hand in which file: the line of the table that tells it
    "list what there is": ("common.conf", "list = no", "list = yes"),
    "read another's private": ("own.conf", "/private/%ALLIE_HOST%", "/private"),
    "read an inbox": ("own.conf", "    write only = yes\n", ""),
    "leave anything else there": ("own.conf", "    filter = - /report/ + /report - *\n", ""),
    "read its own private": ("own.conf", "[private]", "[privat]"),
}


@pytest.mark.parametrize("line", HOLES)
def test_a_hole_is_named(doors: Doors, line: str) -> None:
    name, good, bad = HOLES[line]
    conf = doors.etc / name
    text = conf.read_text()
    assert good in text
    conf.write_text(text.replace(good, bad))
    try:
        done = doors.allie(*words(doors))
    finally:
        conf.write_text(text)
    assert done.returncode == 1
    assert re.search(rf"^{re.escape(line)} .*!.* <- should not be so$", done.stdout, re.M), (
        done.stdout
    )
    assert f"{conf} is not as `allie store setup` writes it" in done.stderr
    assert not leftovers(doors)


def test_files_that_are_not_as_they_should_be(doors: Doors) -> None:
    lines = doors.etc / "authorized_hosts"
    text = lines.read_text()
    key = " ".join((doors.work / "stranger.pub").read_text().split()[:2])
    lines.write_text(text + LINE.format("../..", doors.places.own, key, "../.."))
    (doors.store / "private").chmod(0o755)
    doors.etc.chmod(0o777)
    try:
        done = doors.allie(*words(doors))
    finally:
        lines.write_text(text)
        (doors.store / "private").chmod(0o700)
        doors.etc.chmod(0o700)
    assert done.returncode == 1
    assert "authorized_hosts: line 3 is none that `allie store enrol` writes" in done.stderr
    assert f"others than root can look into {doors.store}/private" in done.stderr
    assert f"others than root can write to {doors.etc}" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_check_that_is_killed_lets_nobody_in(doors: Doors, number: int) -> None:
    with subprocess.Popen(doors._here(words(doors)), cwd="/", env=ENV) as check:
        lines = doors.etc / "authorized_hosts"
        until(lambda: "check.invalid" in lines.read_text())
        os.kill(check.pid, number)
    if number == signal.SIGKILL:
        left = re.findall("ssh-ed25519 \\S+ one.check.invalid", lines.read_text())
        assert left, "its key was in that process alone"
        done = doors.allie(*words(doors))
        assert done.returncode == 0, done.stderr
        assert left[0] not in lines.read_text()
    assert not leftovers(doors)


def test_nothing_listens_there(doors: Doors) -> None:
    done = doors.allie("store", "serve", "--check", "127.0.0.1", "--port", "1")
    assert done.returncode == 2
    assert "nobody answers at 127.0.0.1, port 1: Connection refused" in done.stderr


def test_who_is_not_in_hosts_allow_reads_nothing_and_that_is_well(doors: Doors) -> None:
    """And who is in it, and cannot read, is told."""
    conf, public = doors.store / "store.conf", doors.store / "rsyncd.conf"
    for name, text in ((public, public.read_text()), (conf, conf.read_text())):
        assert "127.0.0.0/8 " in text, name
    before = conf.read_text()
    assert check._is_admitted("127.0.0.1", store_conf.read(str(doors.store)))
    assert check._is_admitted("fe80::1%eth0", store_conf.read(str(doors.store)))
    conf.write_text(before.replace("127.0.0.0/8 ", "localhost "))
    try:
        assert not check._is_admitted("127.0.0.1", store_conf.read(str(doors.store)))
    finally:
        conf.write_text(before)
    row = check.CheckRow("read overlays", (False, False), (True, False))
    assert not row.is_well
    assert check._with_any(row).is_well
    assert not check._with_any(row._replace(can=(True, True))).is_well


@pytest.mark.parametrize("is_store", [False, True])
def test_from_elsewhere_what_anybody_can(doors: Doors, tmp_path: Path, is_store: bool) -> None:
    """From a mirror, too, which has a store and hosts of its own: they are not let in there."""
    if is_store:
        store.init(str(tmp_path))
    argv = doors._here(words(doors))
    argv[argv.index(str(doors.store))] = str(tmp_path)
    done = subprocess.run(argv, cwd="/", env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tried on the server itself, by root" in done.stdout
    assert rows(done.stdout)["read overlays"] == ["yes", "no"]


# --- setup without systemd -----------------------------------------------------------------------


def test_setup_without_systemd_says_how_to_serve(doors: Doors) -> None:
    for _ in range(2):
        done = doors.allie("store", "setup")
        assert done.returncode == 0, done.stderr
        assert "there is no systemd here" in done.stderr
        assert f"allie store serve --ssh --store {doors.store}" in done.stderr
    assert done.stdout == "nothing changed\n"


def test_setup_warns_where_others_could_enrol_themselves(doors: Doors) -> None:
    doors.store.chmod(0o775)
    try:
        done = doors.allie("store", "setup")
    finally:
        doors.store.chmod(0o755)
    assert f"others than root can write to {doors.store}, and so put keys" in done.stderr
    assert f"etc = DIR in {doors.store}/store.conf names another place" in done.stderr


def test_etc_may_be_elsewhere(doors: Doors, tmp_path: Path) -> None:
    conf = doors.store / "store.conf"
    text = conf.read_text()
    conf.write_text(f"{text}etc = {tmp_path}/keys\n")
    try:
        done = doors.allie("store", "setup")
        assert f"made {tmp_path}/keys" in done.stdout
        assert f"wrote {tmp_path}/keys/own.conf" in done.stdout
        assert f"&merge {tmp_path}/keys/common.conf" in (tmp_path / "keys/own.conf").read_text()
    finally:
        conf.write_text(text)


def test_the_ssh_door_is_not_opened_by_halves(tmp_path: Path) -> None:
    """Nor is an account made by what only serves."""
    if can_be_opened():
        pytest.skip(can_be_opened())
    doors = Doors(tmp_path / "store", tmp_path / "work")
    Path(doors.places.host_key).unlink()
    ports = ["--port", str(doors.ssh_port), "--ssh-port", str(free_port())]
    done = doors.allie("store", "serve", "--ssh", *ports)
    assert done.returncode == 2
    assert "the ssh door has no key or no accounts yet" in done.stderr
    assert "allie store setup" in done.stderr
    assert not (doors.etc / "own.conf").exists()
