"""Where things are made (docs/internals/security.md, "Owner and mode").

However many directories, whatever their file systems can, and however they fail.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.security.test_swaps import NO_OWNERS
from tests.worlds.one_pc import World, injected, leftovers, mounted, tmpfs
from tests.worlds.toy import Dir, File, Link, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root]

ANN, BOB = 4242, 4243
ANNS = (ANN, ANN)
FEW_OPEN = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
"""
MANY = 300  # directories, or files: more than may be open


def many(world: World, count: int = MANY, content: str = "1\n") -> None:
    """An overlay with a file in each of many directories, and one elsewhere."""
    for number in range(count):
        world.put({f"home/ann/a/{number}/f": File(content, owner=ANNS)})
        world.put({f"home/ann/a/{number}": Dir(owner=ANNS)})
    world.put({"home/ann/a": Dir(owner=ANNS), "etc/motd": content, ".allie-large": content})


def came(world: World, content: str = "1\n") -> int:
    """How many of the many have come."""
    files = world.at("home/ann/a").glob("*/f")
    return sum(path.read_text() == content for path in files)


@contextmanager
def her_disk(home: Path) -> Iterator[str]:
    """Her home is a disk of its own, all of it hers."""
    with tmpfs(home, f"size=9m,mode=755,uid={ANN},gid={ANN}"):
        yield ""


@contextmanager
def no_owners(home: Path) -> Iterator[str]:
    """A disk that knows no owners: all is hers that anybody makes."""
    with her_disk(home):
        yield NO_OWNERS.format(uid=ANN)


@contextmanager
def shared_disk(home: Path) -> Iterator[str]:
    """A disk at whose top everybody may make names."""
    with tmpfs(home.parent, "size=9m,mode=1777"):
        make_tree(home, {"x": ""})
        os.chown(home, ANN, ANN)
        yield ""


@contextmanager
def project_quota(home: Path) -> Iterator[str]:
    """A quota that her home has and its disk has not: nothing can be renamed into it."""
    image = home.parents[2] / "disk"
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", str(image)], check=True)
    with mounted(home.parent, "-o", "loop", source=str(image)):
        make_tree(home, {"x": ""})
        os.chown(home, ANN, ANN)
        for command in ("chproj 77", "chattr +P"):
            subprocess.run(["xfs_io", "-c", command, str(home)], check=True)
        yield ""


@contextmanager
def no_top(home: Path) -> Iterator[str]:
    """Nothing can be made at the top of her disk: each directory needs a stage of its own."""
    with her_disk(home):
        yield NO_TOP


NO_TOP = """
import errno, os
real = os.mkdir
def mkdir(path, *args, dir_fd=None, **more):
    if str(path).startswith(".allie-"):
        if os.readlink(f"/proc/self/fd/{dir_fd}").endswith("/home/ann"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
    real(path, *args, dir_fd=dir_fd, **more)
os.mkdir = mkdir
"""


@pytest.mark.parametrize(
    "disk",
    [her_disk, no_owners, shared_disk, project_quota, no_top],
    ids=lambda each: each.__name__,
)
def test_many_directories_with_few_open_files(tmp_path: Path, disk: object) -> None:
    assert callable(disk)
    with disk(tmp_path / "pc/home/ann") as code:
        world = World(tmp_path, {"etc/motd": "0\n"})
        world.good()
        make_tree(world.root, {f"home/ann/a/{n}": Dir(owner=ANNS) for n in range(0, MANY, 2)})
        make_tree(world.root, {"home/ann/a": Dir(owner=ANNS)})
        env = injected(tmp_path / "fault", FEW_OPEN + code)
        for content in ("1\n", "2\n"):
            many(world, content=content)
            before = -1
            for _ in range(MANY):  # where not all can be done at once, each tick does more
                done = world.tick(env=env)
                assert world.read("etc/motd") == content
                assert came(world, content) > before, done
                before = came(world, content)
                if before == MANY:
                    break
            assert leftovers(world.root) == []
        assert done.rc == 0, done


TROUBLES = {"ro": "Read-only file system", "quota": "Disk quota exceeded"}
NO_QUOTA_LEFT = """
import errno, os
real_open, real_mkdir = os.open, os.mkdir
def refuse(path):
    if str(path).startswith(".allie-"):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), path)
def opens(path, flags, mode=0o777, *, dir_fd=None):
    if flags & os.O_CREAT:
        refuse(path)
    return real_open(path, flags, mode, dir_fd=dir_fd)
def mkdirs(path, mode=0o777, *, dir_fd=None):
    refuse(path)
    real_mkdir(path, mode, dir_fd=dir_fd)
os.open, os.mkdir = opens, mkdirs
"""


@pytest.mark.parametrize("trouble", TROUBLES)
def test_where_nothing_can_be_made_it_is_said_and_the_rest_comes(
    tmp_path: Path, trouble: str
) -> None:
    with her_disk(tmp_path / "pc/home/ann"):
        world = World(tmp_path, {"etc/motd": "0\n"})
        world.good()
        make_tree(world.root, {"home/ann/a": Dir(owner=ANNS)})
        world.put({f"home/ann/a/{n}": File("1\n", owner=ANNS) for n in range(MANY)})
        world.put({"home/ann/a": Dir(owner=ANNS), "etc/motd": "1\n", "usr/late": "1\n"})
        world.put({".allie-large": ""})
        code = FEW_OPEN
        if trouble == "ro":
            subprocess.run(["mount", "-o", "remount,ro", world.at("home/ann")], check=True)
        else:
            code += NO_QUOTA_LEFT
        done = world.tick(env=injected(tmp_path / "fault", code))
        assert done.rc == 1
        assert world.read("etc/motd") == world.read("usr/late") == "1\n"
        assert done.out.count(TROUBLES[trouble]) == MANY, done.out[:1000]
        assert "somebody" not in done.out
        if trouble == "ro":
            subprocess.run(["mount", "-o", "remount,rw", world.at("home/ann")], check=True)
        world.tick().ok()
        assert world.read(f"home/ann/a/{MANY - 1}") == "1\n"


# What the overlay has (mode, owner), and whether it comes to a disk where all is ann's
SECRETS = {
    "hers": (0o600, ANN, True),
    "everybody's": (0o644, 0, True),
    "a program of root's": (0o4755, 0, True),
    "root's secret": (0o600, 0, False),
    "of a group of root's": (0o640, 0, False),
    "to be written, not read": (0o622, 0, False),
    "bob's": (0o600, BOB, False),
    "no mode at all": (0, 0, False),
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_not_everybody_may_see_stays_away(tmp_path: Path, name: str, kind: str) -> None:
    """Where a file system has no owners."""
    mode, owner, comes = SECRETS[name]
    path = "home/ann/d/key"
    with no_owners(tmp_path / "pc/home/ann") as code:
        world = World(tmp_path, {"etc/motd": "0\n"})
        world.good()
        world.put(
            {"etc/motd": "1\n", "home/ann/d/link": Link("key"), "home/ann/d": Dir(owner=ANNS)}
        )
        if kind == "file":
            world.put({path: File("secret\n", mode, owner=(owner, owner))})
        else:
            mode |= (mode & 0o444) >> 2
            world.put({path: Dir(mode, owner=(owner, owner))})
        env = injected(tmp_path / "fault", code)
        done = world.tick(env=env)
        assert world.read("etc/motd") == "1\n"
        assert world.at("home/ann/d/link").is_symlink()
        assert world.there(path) == comes, done
        assert (done.rc == 0) == comes, done
        assert comes or f"/{path}: not everybody may see it" in done.out
        assert leftovers(world.root) == []
