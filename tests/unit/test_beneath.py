"""Paths below a directory held open: the same by the kernel and by hand, and never out of it."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from allie.machine import libc
from allie.machine.files import beneath
from tests.worlds import machine

WAYS = ["by the kernel", "by hand"]


def _kernel_has_it() -> bool:
    here = os.open("/", os.O_PATH)
    try:
        os.close(beneath._by_kernel(here, ".", os.O_PATH, 0))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


@pytest.fixture(params=WAYS)
def top(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    if request.param == WAYS[0] and not _kernel_has_it():
        pytest.skip("needs openat2")
    monkeypatch.setattr(beneath, "_kernel_can", request.param == WAYS[0])
    inside = tmp_path / "top"
    (inside / "a/b").mkdir(parents=True)
    (inside / "a/b/file").write_text("in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/file").write_text("out")
    os.mkfifo(inside / "fifo")
    for name, target in {
        "to-file": "a/b/file",
        "to-dir": "a",
        "a/up": "../a/b",
        "out": "../out",
        "absolute": str(tmp_path / "out"),
        "loop": "loop",
        "gone": "nothing",
    }.items():
        (inside / name).symlink_to(target)
    return os.open(inside, os.O_PATH | os.O_DIRECTORY)


@pytest.mark.parametrize(
    ("path", "flags", "error"),
    [
        ("a/b/file", os.O_RDONLY, 0),
        ("a//./b/file", os.O_RDONLY, 0),
        ("", os.O_RDONLY | os.O_DIRECTORY, 0),
        (".", os.O_PATH, 0),
        ("a/b", os.O_PATH | os.O_DIRECTORY, 0),
        ("fifo", os.O_RDONLY | os.O_NONBLOCK, 0),
        ("to-file", os.O_PATH | os.O_NOFOLLOW, 0),
        ("a/b/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0),
        ("to-file", os.O_RDONLY, errno.ELOOP),
        ("to-file", os.O_PATH, errno.ELOOP),
        ("to-dir", os.O_RDONLY | os.O_DIRECTORY, errno.ELOOP),
        ("to-dir/b/file", os.O_RDONLY, errno.ELOOP),
        ("to-dir/b", os.O_PATH | os.O_NOFOLLOW, errno.ELOOP),
        ("a/up/file", os.O_RDONLY, errno.ELOOP),
        ("out/file", os.O_RDONLY, errno.ELOOP),
        ("out/new", os.O_WRONLY | os.O_CREAT, errno.ELOOP),
        ("absolute/file", os.O_RDONLY, errno.ELOOP),
        ("loop", os.O_RDONLY, errno.ELOOP),
        ("gone", os.O_WRONLY | os.O_CREAT, errno.ELOOP),
        ("gone/x", os.O_RDONLY, errno.ELOOP),
        ("../out/file", os.O_RDONLY, errno.EXDEV),
        ("a/../a/b/file", os.O_RDONLY, errno.EXDEV),
        ("a/..", os.O_PATH, errno.EXDEV),
        ("/etc/passwd", os.O_RDONLY, errno.EXDEV),
        ("a/b/file/x", os.O_RDONLY, errno.ENOTDIR),
        ("a/b/file", os.O_RDONLY | os.O_DIRECTORY, errno.ENOTDIR),
        ("a/none", os.O_RDONLY, errno.ENOENT),
        ("none/file", os.O_RDONLY | os.O_CREAT, errno.ENOENT),
        ("a/b/file", os.O_WRONLY | os.O_CREAT | os.O_EXCL, errno.EEXIST),
    ],
)
def test_a_way(top: int, path: str, flags: int, error: int, tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    try:
        found = beneath.open_beneath(top, path, flags, 0o640)
    except OSError as refused:
        assert refused.errno == error, refused
        assert sorted(os.listdir("/proc/self/fd")) == before, "a descriptor is left open"
    else:
        assert error == 0
        assert not os.get_inheritable(found)
        os.close(found)
    assert os.listdir(tmp_path / "out") == ["file"]
    assert not (tmp_path / "top/nothing").exists()
    os.close(top)


def test_what_is_made_has_its_mode(top: int, tmp_path: Path) -> None:
    os.close(beneath.open_beneath(top, "a/new", os.O_WRONLY | os.O_CREAT, 0o600))
    assert (tmp_path / "top/a/new").stat().st_mode & 0o777 == 0o600
    os.close(top)


@pytest.mark.root
@pytest.mark.skipif(not machine.is_root(), reason="needs root")
def test_another_mount_is_not_entered(top: int, tmp_path: Path) -> None:
    at = tmp_path / "top/a"
    subprocess.run(["mount", "--bind", str(tmp_path / "out"), str(at)], check=True)
    try:  # the same file system, so its device number tells nothing
        for path, flags in (("a/file", os.O_RDONLY), ("a", os.O_PATH), ("a/new", os.O_CREAT)):
            with pytest.raises(OSError, match="cross-device") as refused:
                beneath.open_beneath(top, path, flags)
            assert refused.value.errno == errno.EXDEV
    finally:
        subprocess.run(["umount", str(at)], check=True)
        os.close(top)
    assert os.listdir(tmp_path / "out") == ["file"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_it_or_a_container_that_forbids_it(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuses(name: str, *_arguments: int | bytes) -> int:
        asked.append(name)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(libc, "call", refuses)
    monkeypatch.setattr(beneath, "_kernel_can", True)
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    top = os.open(tmp_path, os.O_PATH)
    for _ in range(2):
        os.close(beneath.open_beneath(top, "file", os.O_RDONLY))
        with pytest.raises(OSError, match="symbolic links"):
            beneath.open_beneath(top, "link", os.O_RDONLY)
    assert len(asked) == (1 if number == errno.ENOSYS else 4)
    os.close(top)
