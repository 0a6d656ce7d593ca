"""Nobody gets privileges by a program of another system, and no user holds up what we do to it.

A user's own mount and a user's process in a tree hold up neither an update nor a removal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from allie.client.systems import earlier_trees, fence, record, update_rollback
from allie.core.conf.settings import Declared
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine import libc
from allie.machine.disk import tree_copies
from allie.machine.mounts.without_user_mounts import apart
from allie.machine.namespaces import processes_inside
from allie.machine.roots import open_system
from tests import leftovers
from tests.worlds.toy import Dir, Tree, make_tree

pytestmark = [pytest.mark.root]

USER = 4242
OURS = ("el7", ".el7.other", ".el7.old-1", ".el7.part")


def _as_user(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    who = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return subprocess.run([*who, *map(str, argv)], capture_output=True, text=True, timeout=30)


@pytest.fixture
def base(tmp_path: Path) -> System:
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:3]:
        if above.name.startswith("pytest"):
            above.chmod(0o755)
    make_tree(tmp_path / "pc", {"etc/allie/system": "pc\n", "etc/systemd/system": Dir()})
    return open_system.open_system(str(tmp_path / "pc"))


def _system(base: System, name: str, place: str = "systems", tree: Tree | None = None) -> Path:
    top = Path(base.root, place, name)
    make_tree(top, {"etc/allie/system": "el7\n", **(tree or {})})
    return top


def _privileged(top: Path) -> None:
    """A setuid program, and a device file that anybody may open: the first console's memory."""
    program = shutil.which("id")
    assert program
    shutil.copy(program, top / "id")
    (top / "id").chmod(0o4755)
    os.mknod(top / "full", 0o020666, os.makedev(1, 7))
    (top / "full").chmod(0o666)


def _declared(place: str = "/systems/el7") -> Declared:
    return Declared("el7", place, "el7", ("kit",))


def test_no_program_of_any_tree_gives_privileges(base: System) -> None:
    for name in OURS:
        _privileged(_system(base, name))
    root = f"{base.root}/systems/el7"
    assert "euid=0" in _as_user(f"{root}/id").stdout, "or the test tests nothing"
    for _ in range(2):
        fence.put_up(base, _declared(), root)
        assert leftovers.mounts_below(Path(base.root)) == [f"{base.root}/systems"]
    for name in OURS:
        done = _as_user(f"{base.root}/systems/{name}/id")
        assert (done.returncode, "euid=0" in done.stdout) == (0, False), "it runs, as the user"
        assert _as_user("head", "-c1", f"{base.root}/systems/{name}/full").returncode == 1


def test_at_boot_it_is_there_before_anybody_logs_in(base: System) -> None:
    """What the unit does is done here; that systemd does it in time follows from its lines."""
    top = _system(base, "el7")
    _privileged(top)
    fence.put_up(base, _declared(), str(top))
    unit = next(Path(base.root, "etc/systemd/system").glob("allie-fence-*.service"))
    link = Path(base.root, "etc/systemd/system/sysinit.target.wants", unit.name)
    assert os.readlink(link) == f"/etc/systemd/system/{unit.name}"
    lines = unit.read_text().splitlines()
    assert {"DefaultDependencies=no", "RequiresMountsFor=/systems"} <= set(lines)
    assert "Before=sysinit.target systemd-user-sessions.service" in lines
    leftovers.unmount_below(Path(base.root))
    assert "euid=0" in _as_user(top / "id").stdout
    for line in lines:
        if line.startswith("ExecStart="):
            argv = line.partition("=")[2].replace("/systems", f"{base.root}/systems").split()
            subprocess.run(argv, check=True)
    assert "euid=0" not in _as_user(top / "id").stdout
    before = unit.stat().st_mtime_ns
    fence.put_up(base, _declared(), str(top))
    assert unit.stat().st_mtime_ns == before, "written once"


def test_it_goes_with_the_last_system(base: System) -> None:
    one, other = _system(base, "el7"), _system(base, "el8")
    fence.put_up(base, _declared(), str(one))
    shutil.rmtree(one)
    fence.drop(base, _declared(), str(one))
    assert leftovers.mounts_below(Path(base.root)), "el8 is there"
    shutil.rmtree(other)
    fence.drop(base, _declared(), str(one))
    assert not leftovers.mounts_below(Path(base.root))
    assert not list(Path(base.root, "etc/systemd/system").rglob("allie-fence-*"))


@pytest.mark.parametrize(
    ("place", "there", "why"),
    [
        ("opt", {}, "others put programs there"),
        ("usr/local", {}, "others put programs there"),
        ("data", {"data/chrome/sandbox": "x"}, "it holds chrome"),
        ("odd name", {}, "special characters"),
    ],
)
def test_a_directory_of_others_is_refused(base: System, place: str, there: Tree, why: str) -> None:
    """Its setuid programs would stop working, those of tomorrow, too."""
    make_tree(Path(base.root), there)
    root = f"{base.root}/{place}/el7"
    with pytest.raises(StateError, match=why):
        fence.before(base, _declared(f"/{place}/el7"), root)
    assert not leftovers.mounts_below(Path(base.root))
    _system(base, "el7", place)
    fence.before(base, _declared(f"/{place}/el7"), root)  # what is there is updated all the same


def test_a_way_that_is_a_users_is_refused(base: System) -> None:
    home = Path(base.root, "srv/ann")
    home.mkdir(parents=True)
    os.chown(home, USER, USER)
    with pytest.raises(StateError, match="srv/ann is not root's alone"):
        fence.before(base, _declared("/srv/ann/systems/el7"), f"{home}/systems/el7")
    assert list(home.iterdir()) == []


def test_a_system_that_is_a_mount_gets_the_options_itself(base: System) -> None:
    top = _system(base, "el7", "opt")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", str(top)], check=True)
    try:
        fence.put_up(base, _declared("/opt/el7"), str(top))
        assert leftovers.mounts_below(Path(base.root)) == [str(top)]
        flags = os.statvfs(top).f_flag
        assert flags & os.ST_NOSUID
        assert flags & os.ST_NODEV
        assert flags & os.ST_NOEXEC, "what it had it keeps"
    finally:
        subprocess.run(["umount", str(top)], check=True)


# --- users in the way ---------------------------------------------------------------------------


@contextmanager
def _fuse(point: Path) -> Iterator[None]:
    """A user's FUSE file system that answers nothing: whoever looks at it waits for ever."""
    point.mkdir(parents=True)
    os.chown(point, USER, USER)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={device},rootmode=40000,user_id={USER},group_id={USER},allow_other"
        words = [os.fsencode(each) for each in ("hang", str(point), "fuse")]
        libc.call("mount", *words, 6, options.encode())
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(point)], stderr=subprocess.DEVNULL)
        os.close(device)


needs_fuse = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")


@needs_fuse
def test_a_users_mount_is_neither_looked_at_nor_in_the_way(base: System) -> None:
    top = _system(base, "el7")
    _system(base, ".el7.old-1")
    with _fuse(top / "home/ann/m"), _fuse(Path(base.root, "systems/.el7.old-1/home/ann/m")):
        with apart(f"{base.root}/systems"):
            assert os.listdir(top / "home/ann/m") == []
            update_rollback.recover_locked(str(top))
        assert os.listdir(f"{base.root}/systems") == ["el7"]
        assert leftovers.mounts_below(Path(base.root)) == [str(top / "home/ann/m")], "it is his"
        here = os.getcwd()
        with apart(f"{base.root}/systems"):
            tree_copies.discard(str(top))
        assert os.getcwd() == here
        assert not leftovers.mounts_below(Path(base.root)), "it went with its directory"


def test_an_administrators_mount_in_an_old_tree_stays(base: System, tmp_path: Path) -> None:
    top = _system(base, "el7")
    old = _system(base, ".el7.old-1", tree={"data": Dir()})
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/file").write_text("kept\n")
    subprocess.run(["mount", "--bind", str(tmp_path / "disk"), str(old / "data")], check=True)
    try:
        update_rollback.recover(base, _declared(), str(top))
        assert (old / "data/file").read_text() == "kept\n"
        with pytest.raises(StateError, match=r"is mounted in .*old-1"):
            tree_copies.discard(str(old))
    finally:
        subprocess.run(["umount", str(old / "data")], check=True)
    update_rollback.recover(base, _declared(), str(top))
    assert not old.exists()
    assert (tmp_path / "disk/file").read_text() == "kept\n"


@pytest.mark.parametrize("where", ["el7", ".el7.other", ".el7.part", ".el7.old-1"])
def test_a_system_in_which_something_is_mounted_is_not_half_removed(
    base: System, where: str
) -> None:
    """The next tick would bring it anew: it is declared, and not there."""
    names = ["el7", ".el7.other", ".el7.part", ".el7.old-1", ".el7.old-2"]
    for name in names:
        _system(base, name, tree={"data": Dir()})
    data = Path(base.root, "systems", where, "data")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(data)], check=True)
    try:
        for _ in range(2):
            with pytest.raises(StateError, match="is mounted in") as refused:
                update_rollback.remove(base, _declared())
            assert str(data) in refused.value.hint
            assert sorted(os.listdir(f"{base.root}/systems")) == sorted(names)
    finally:
        subprocess.run(["umount", str(data)], check=True)
    update_rollback.remove(base, _declared())
    assert os.listdir(f"{base.root}/systems") == []


def test_what_users_do_to_their_directories_does_not_keep_a_tree(base: System) -> None:
    """Too deep to walk by recursion; and one in which a user makes files all the time."""
    top = _system(base, "el7", tree={"home/ann/x": "x\n"})
    os.chown(top / "home/ann", USER, USER)
    at = os.open(top / "home/ann", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    busy = "cd $0 && i=0; while :; do i=$((i+1)); mkdir d$i 2>/dev/null; : 2>/dev/null >f$i; done"
    who = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    with subprocess.Popen([*who, "sh", "-c", busy, str(top / "home/ann")]) as user:
        try:
            tree_copies.discard(str(top))
        finally:
            user.kill()
    assert not top.exists()


@contextmanager
def _inside(argv: list[str]) -> Iterator[int]:
    with subprocess.Popen([*argv, "/bin/sleep", "300"], cwd="/") as user:
        try:
            yield user.pid
        finally:
            user.kill()


def _runnable(top: Path) -> None:
    program = shutil.which("busybox")
    assert program
    make_tree(top, {"bin": Dir(), "usr": Dir()})
    shutil.copy(program, top / "bin/sleep")


@pytest.mark.parametrize("way", ["chroot", "bound"])
def test_who_is_inside(base: System, way: str) -> None:
    top = _system(base, "el7")
    _runnable(top)
    bound = f'mount --bind {top}/bin /mnt && exec "$@"'
    argv = {
        "chroot": ["chroot", str(top)],
        "bound": ["unshare", "--mount", "sh", "-c", bound, "sh"],
    }[way]
    with _inside(argv) as pid:
        _until_inside(str(top), pid)
        top.rename(top.with_name(".el7.other"))
        assert pid in processes_inside.of(f"{base.root}/systems/.el7.other"), "wherever it goes"
        assert pid not in processes_inside.of(f"{base.root}/etc")
    assert processes_inside.of(f"{base.root}/systems/.el7.other") == []


def _until_inside(top: str, pid: int) -> None:
    for _ in range(200):
        if pid in processes_inside.of(top):
            return
        subprocess.run(["sleep", "0.02"], check=True)
    raise AssertionError(f"{pid} is not inside {top}")


def test_old_trees_wait_for_people_and_are_few(base: System) -> None:
    """Somebody inside each of them: the last three are left alone, the others go all the same."""
    top = _system(base, "el7")
    users = []
    try:
        for number in range(1, 7):
            old = _system(base, f".el7.old-{number}")
            _runnable(old)
            users.append(subprocess.Popen(["chroot", str(old), "/bin/sleep", "300"], cwd="/"))
            _until_inside(str(old), users[-1].pid)
        update_rollback.recover(base, _declared(), str(top))
        assert sorted(os.listdir(top.parent)) == [".el7.old-4", ".el7.old-5", ".el7.old-6", "el7"]
        users[4].kill()
        users[4].wait()
        update_rollback.recover(base, _declared(), str(top))
        assert sorted(os.listdir(top.parent)) == [".el7.old-4", ".el7.old-6", "el7"]
    finally:
        for user in users:
            user.kill()
            user.wait()
    update_rollback.recover(base, _declared(), str(top))
    assert os.listdir(top.parent) == ["el7"]


def test_without_room_no_old_tree_is_kept(base: System, monkeypatch: pytest.MonkeyPatch) -> None:
    top, old = _system(base, "el7"), _system(base, ".el7.old-1")
    _runnable(old)
    monkeypatch.setattr(earlier_trees, "_LEAST_FREE", 1.1)
    with _inside(["chroot", str(old)]) as pid:
        _until_inside(str(old), pid)
        update_rollback.recover(base, _declared(), str(top))
        assert os.listdir(top.parent) == ["el7"]


def test_a_system_is_removed_with_people_inside(base: System) -> None:
    top = _system(base, "el7")
    _system(base, ".el7.other")
    _runnable(top)
    fence.put_up(base, _declared(), str(top))
    with _inside(["chroot", str(top)]) as pid:
        _until_inside(str(top), pid)
        update_rollback.remove(base, _declared())
    assert os.listdir(f"{base.root}/systems") == []
    assert not leftovers.mounts_below(Path(base.root))
    assert not os.path.exists(f"{base.systems}/el7")
    assert record.is_held(base, "el7") is False
