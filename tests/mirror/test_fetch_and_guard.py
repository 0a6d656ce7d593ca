"""A generation is complete or not there, and an ill server takes nothing away.

docs/internals/rules.md, "A mirror may be a mixture" and "A store may be empty by accident".
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.worlds.one_pc import World, mounted, snapshot, tmpfs
from tests.worlds.store import Served, served
from tests.worlds.toy import File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]


def many(count: int, text: str = "") -> dict[str, str]:
    return {f"etc/many/f{number}": f"{number} {text}\n" for number in range(count)}


def generation(world: World) -> Path:
    return world.state("mirror/current").resolve()


def refused(world: World, words: str = "nothing is taken") -> None:
    """A tick that takes nothing from the store, says so loudly, and goes on with what it has."""
    before, standing = snapshot(world.root), generation(world)
    done = world.tick()
    assert done.rc == 1, done.out
    assert words in done.out
    assert snapshot(world.root) == before
    assert generation(world) == standing
    contact = world.json("status").get("contact") or {}
    assert not contact or contact["refused"]


def kill_in_the_middle(server: Served, world: World) -> None:
    """End the server while a fetch is on its way."""
    started = threading.Event()

    def watch() -> None:
        started.set()
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if any(path.stat().st_size for path in world.state("mirror").glob("*.part/*/big/*")):
                break
            time.sleep(0.002)
        server.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    started.wait()
    done = world.tick()
    thread.join()
    assert done.rc == 0, done.out  # unreachable is not a failure
    assert "does not answer" in done.out


def test_a_server_killed_in_the_middle_leaves_no_mixture(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "old\n", "etc/link": Link("old"), "etc/gone": "old\n"})
    with served(world.store) as server:
        world.follow(store=server.url)
        world.good()
        world.put({"etc/a": "new\n", "etc/link": Link("new"), "etc/b": "new\n"})
        world.take("etc/gone")
        size = 30_000_000
        world.put({f"big/{number}": File(os.urandom(1000), size=size) for number in range(4)})
        before = snapshot(world.root)
        kill_in_the_middle(server, world)
        assert snapshot(world.root) == before
        world.tick()  # still away: the part of the mirror that came is not used
        assert snapshot(world.root) == before
        server.start()
        shutil.rmtree(world.overlay() / "big")
        world.good()
        assert world.read("etc/a") == world.read("etc/b") == "new\n"
        assert os.readlink(world.at("etc/link")) == "new"
        assert not world.there("etc/gone")


def test_a_part_left_by_a_killed_client_is_linked_to_and_never_written_into(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "2\n"})
    world.good()
    part = world.state("mirror") / "2.part"
    shutil.copytree(world.overlay(), part / "common")
    os.link(generation(world) / "common/etc/a", part / "common/etc/c")
    make_tree(part / "common", {"etc/.b.1HFDNG": "half\n"})
    world.put({"etc/c": File("other\n", 0o600), "etc/d": "d\n"})
    standing = snapshot(generation(world))
    world.tick().ok()
    assert world.read("etc/c") == "other\n"
    assert not world.there("etc/.b.1HFDNG")
    assert world.read("etc/a") == "1\n"
    assert standing  # the old generation is gone by now; what it held was never changed
    world.steady()


def test_temp_files_of_a_killed_fetch_are_not_placed_while_the_server_is_away(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    make_tree(world.state("mirror"), {"2.part/common/etc/.f17.1HFDNG": "half\n"})
    world.store.rename(tmp_path / "away")
    assert world.tick().rc in (0, 1)
    assert not world.there("etc/.f17.1HFDNG")
    (tmp_path / "away").rename(world.store)
    world.put({"etc/b": "b\n"})
    world.good()


def test_all_overlays_switch_together(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "old\n"}, overlays="common, lab")
    world.put({"etc/b": "old\n"}, "lab")
    world.good()
    world.put({"etc/a": "new\n"})
    shutil.move(world.overlay("lab"), tmp_path / "lab")
    refused(world, "lab")
    assert world.read("etc/a") == "old\n"
    shutil.move(tmp_path / "lab", world.overlay("lab"))
    world.good()
    assert world.read("etc/a") == "new\n"


def test_every_change_gets_a_new_inode_and_the_rest_is_linked(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/same": "1\n", "etc/mode": "2\n", "etc/acl": "3\n"})
    world.good()
    old = {
        name: (generation(world) / f"common/etc/{name}").stat().st_ino
        for name in ("same", "mode", "acl")
    }
    (world.overlay() / "etc/mode").chmod(0o600)
    subprocess.run(["setfacl", "-m", "u:1000:r", str(world.overlay() / "etc/acl")], check=True)
    world.good()
    new = {name: (generation(world) / f"common/etc/{name}").stat().st_ino for name in old}
    assert new["same"] == old["same"]
    assert new["mode"] != old["mode"]
    assert new["acl"] != old["acl"]
    assert b"\xe8\x03" in os.getxattr(world.at("etc/acl"), "system.posix_acl_access")


def test_what_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    """The times of directories, too: else each change would cost another fetch an hour later."""
    world = World(tmp_path, {"etc/d/a": "1\n", "etc/d/deep/b": "1\n", "etc/c": "1\n"})
    world.good()
    beside = world.overlay() / "etc/d/deep/.b.new"
    beside.write_text("2\n")
    beside.rename(world.overlay() / "etc/d/deep/b")
    world.put({"etc/d/new/e": "1\n"})
    world.take("etc/c")
    world.tick().ok()
    standing = generation(world)
    world.tick().ok()
    assert generation(world) == standing


def test_a_mirror_that_was_lost_is_fetched_again_under_another_number(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b##host.pc07": "1\n"})
    world.good()
    shutil.rmtree(world.state("mirror"))
    world.put({"etc/a": "two\n", "etc/b##host.pc07": "two\n"})
    world.good()
    assert (world.read("etc/a"), world.read("etc/b")) == ("two\n", "two\n")


def test_the_state_is_roots_alone(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, root={"etc/a": "before\n"})
    world.good()
    for name in ("", "mirror", "undo", "pristine", "mirror/current/"):
        assert world.state(name).stat().st_mode & 0o7777 == 0o700, name


def test_the_old_generation_goes_and_an_overlay_that_left_is_not_in_the_next(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, {"etc/a": "1\n"}, overlays="common, lab")
    world.put({"etc/b": "b\n"}, "lab")
    world.good()
    world.follow("common")
    world.good()
    names = sorted(os.listdir(world.state("mirror")))
    assert len([name for name in names if name.isdigit()]) == 1
    assert not (generation(world) / "lab").exists()
    assert not world.there("etc/b")
    assert world.read("etc/a") == "1\n"


def test_two_edits_of_one_size_in_one_second_both_arrive(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": File("1\n", mtime=1_600_000_000.25)})
    world.tick().ok()
    world.put({"etc/a": File("2\n", mtime=1_600_000_000.75)})
    world.good()
    assert world.read("etc/a") == "2\n"
    with served(world.store) as server:
        world.follow(store=server.url)
        world.put({"etc/a": File("3\n", mtime=1_600_000_000.5)})
        world.good()
        assert world.read("etc/a") == "3\n"


# --- the server is ill -------------------------------------------------------------------------


def test_an_emptied_overlay_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b##host.pc07": "2\n"})
    world.good()
    shutil.rmtree(world.overlay() / "etc")
    refused(world)
    world.at("etc/a").write_text("drift\n")
    assert "drift: /etc/a" in world.tick().out  # repaired from what we have
    world.put({"etc/a": "new\n", "etc/b##host.pc07": "2\n"})
    world.good()
    assert world.read("etc/a") == "new\n"


def test_an_unmounted_store_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    with tmpfs(world.overlay(), "size=1m"):
        world.put({"etc/a": "1\n"})
        world.good()
    refused(world)
    assert world.read("etc/a") == "1\n"


def test_more_than_ten_and_more_than_half_are_refused(tmp_path: Path) -> None:
    world = World(tmp_path, many(22))
    world.good()
    world.take(*list(many(12)))
    refused(world)
    world.put(many(1))
    world.good()  # eleven of twenty-two
    assert not world.there("etc/many/f5")


def test_ten_files_go_without_a_question(tmp_path: Path) -> None:
    world = World(tmp_path, many(11))
    world.good()
    world.take(*list(many(10)))
    world.good()
    assert os.listdir(world.at("etc/many")) == ["f10"]


def test_a_single_file_may_be_renamed(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    (world.overlay() / "etc/a").rename(world.overlay() / "etc/b")
    world.good()
    assert world.read("etc/b") == "1\n"
    assert not world.there("etc/a")


def test_many_small_overlays_are_judged_together_too(tmp_path: Path) -> None:
    names = [f"o{number}" for number in range(4)]
    world = World(tmp_path, overlays=", ".join(names))
    for name in names:
        world.put({f"etc/{name}/{number}": "x\n" for number in range(5)}, name)
    world.good()
    for name in names:
        world.take(*(f"etc/{name}/{number}" for number in range(4)), overlay=name)
    refused(world)


def test_consent_is_an_empty_file_that_is_never_placed(tmp_path: Path) -> None:
    world = World(tmp_path, many(30))
    world.good()
    world.take(*list(many(29)))
    refused(world)
    world.put({".allie-withdraw": ""})
    world.good()
    assert os.listdir(world.at("etc/many")) == ["f29"]
    assert not world.there(".allie-withdraw")


def test_a_release_is_consent_itself(tmp_path: Path) -> None:
    world = World(tmp_path)
    make_tree(world.store / "releases/common/1", dict(many(30).items()))
    make_tree(world.store / "releases/common/2", dict(many(2).items()))
    make_tree(world.store / "releases/common", {"stable": Link("1")})
    world.follow(ring="stable")
    world.good()
    (world.store / "releases/common/stable").unlink()
    make_tree(world.store / "releases/common", {"stable": Link("2")})
    world.tick()
    assert len(os.listdir(generation(world) / "common/etc/many")) == 2


def test_the_plan_asks_the_same_question_for_other_causes(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/stays": "1\n"}, overlays="common, lab")
    world.put(many(30), "lab")
    world.good()
    world.follow("common")
    done = world.tick()
    assert done.rc == 1
    assert "more than half" in done.out
    assert len(os.listdir(world.at("etc/many"))) == 30
    world.steady(rc=1)
    world.put({".allie-withdraw": ""})
    world.steady(rc=1)  # which is none for lab
    world.put({".allie-withdraw": ""}, "lab")  # off the list; the store is asked nevertheless
    world.good()
    assert not world.there("etc/many")
    assert world.read("etc/stays") == "1\n"


def test_consent_given_before_an_overlay_is_retired_goes_on_to_count(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/stays": "1\n"}, overlays="common, lab")
    world.put({**many(30), "etc/v##host.pc07": "", ".allie-withdraw": ""}, "lab")
    world.good()
    shutil.rmtree(world.overlay("lab"))
    world.follow("common")
    world.good()
    assert not world.there("etc/many")
    assert not world.there("etc/v")


@pytest.mark.parametrize("kind", ["missing", "a file", "a link", "a dangling link"])
def test_an_overlay_that_is_no_directory_any_more_is_refused(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.overlay().rename(tmp_path / "aside")
    if kind == "a file":
        world.overlay().write_text("a file\n")
    elif kind == "a link":
        world.overlay().symlink_to(tmp_path / "aside")
    elif kind == "a dangling link":
        world.overlay().symlink_to("nowhere")
    refused(world, "common")
    assert not list(world.state("mirror").glob("*/common/etc/b"))
    if world.overlay().is_symlink() or world.overlay().exists():
        world.overlay().unlink()
    (tmp_path / "aside").rename(world.overlay())
    world.put({"etc/b": "2\n"})
    world.good()


def test_a_file_that_the_server_cannot_read_stops_the_whole_fetch(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n", "etc/b": "1\n"})
    world.good()
    world.put({"etc/a": "2\n", "etc/b": "2\n"})
    with mounted(world.overlay() / "etc/sub", "-t", "proc", source="proc"):
        refused(world, "is being edited, or cannot be read")  # most of /proc cannot be copied
    assert world.read("etc/a") == "1\n"
    (world.overlay() / "etc/sub").rmdir()
    world.good()
    assert world.read("etc/a") == "2\n"


def test_files_that_change_under_our_hands_are_asked_for_a_second_time(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.put({"etc/a": "2\n"})
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "rsync").write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        f"  *--link-dest*) mkdir {tmp_path}/once 2>/dev/null && exit 24;;\n"
        "esac\n"
        'exec /usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin rsync "$@"\n'
    )
    (programs / "rsync").chmod(0o755)
    path = f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    world.tick(env={"ALLIE_PATH": path}).ok()
    assert world.read("etc/a") == "2\n"


# --- the server is away ------------------------------------------------------------------------


def away(world: World, words: str) -> None:
    """A tick that goes on without its server, and says so."""
    before = snapshot(world.root)
    done = world.tick()
    assert done.rc == 0, done.out
    assert words in done.out
    assert snapshot(world.root) == before
    world.at("etc/a").write_text("drift\n")
    assert "drift: /etc/a" in world.tick().out


def test_away_and_back(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    with served(world.store) as server:
        world.follow(store=server.url)
        world.good()
        server.stop()
        away(world, "does not answer")
        world.put({"etc/a": "2\n"})
        server.start()
        world.good()
        assert world.read("etc/a") == "2\n"


def test_something_else_answers_on_that_port(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        def greet() -> None:
            while True:
                try:
                    connection, _ = other.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")

        threading.Thread(target=greet, daemon=True).start()
        world.follow(store=f"rsync://127.0.0.1:{other.getsockname()[1]}")
        away(world, "does not answer")
        other.shutdown(socket.SHUT_RDWR)


def test_no_such_host_and_no_such_module(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    world.good()
    world.follow(store="rsync://nohost.invalid")
    away(world, "does not answer")
    with served(tmp_path / "elsewhere") as server:
        world.follow(store=server.url)
        away(world, "127.0.0.1")


def test_a_server_that_stops_sending_is_ended_by_the_watchdog(tmp_path: Path) -> None:
    world = World(tmp_path, {"etc/a": "1\n"})
    with served(world.store) as server:
        world.follow(store=server.url, stall=2)
        world.good()
        os.killpg(server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            before = snapshot(world.root)
            done = world.tick()
            assert time.monotonic() - began < 12
            assert done.rc == 0, done.out
            assert "stopped sending" in done.out or "does not answer" in done.out
            assert snapshot(world.root) == before
        finally:
            os.killpg(server.pid, signal.SIGCONT)
        world.good()


def test_zeros_of_a_power_failure_are_not_kept(tmp_path: Path) -> None:
    """The mirror is synced before it counts: then a file of zeros in it cannot come about."""
    world = World(tmp_path, {"etc/a": "1\n"})
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-o", str(trace), "-e", "trace=syncfs,fsync,rename,renameat,symlink"]
    subprocess.run(
        [*argv, *world.pc.argv("00overlay")],
        check=True,
        capture_output=True,
        env={**world.pc.env, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    calls = trace.read_text().splitlines()

    def first(*words: str) -> int:
        return next(n for n, line in enumerate(calls) if all(word in line for word in words))

    assert first("syncfs") < first("rename", '/1.part"') < first("rename", "current.part")
    assert "fsync" in "".join(calls[first("rename", "current.part") + 1 :][:3])
