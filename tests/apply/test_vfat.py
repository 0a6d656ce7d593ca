"""What vouches for a file where the file system has no owners and no modes, as vfat in /boot/efi.

bindfs shows a directory as such a one: modes are passed over, owners refused.

docs/internals/rules.md, "What vouches for a file".
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.one_pc import World
from tests.worlds.toy import Dir, File

pytestmark = [pytest.mark.real, pytest.mark.root]
LIKE_VFAT = ["--perms=0700", "--chmod-ignore", "--chown-deny"]


@pytest.fixture
def efi(tmp_path: Path) -> Iterator[Path]:
    """boot/efi on the PC."""
    disk, place = tmp_path / "disk", tmp_path / "pc/boot/efi"
    disk.mkdir()
    place.mkdir(parents=True)
    done = subprocess.run(["bindfs", *LIKE_VFAT, disk, place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_file_is_placed_once(tmp_path: Path, efi: Path) -> None:
    tree = {
        "boot/efi/loader.conf": File("1\n", 0o644),
        "boot/efi/EFI": Dir(0o755),
        "boot/efi/EFI/grub.cfg": File("g\n", 0o600),
        "boot/efi/theirs": File("t\n", 0o644, owner=(1000, 1000)),
        "etc/a": File("a\n", 0o640),
    }
    world = World(tmp_path, tree)
    world.good()
    assert (efi / "loader.conf").stat().st_mode & 0o777 == 0o700
    for name in ("loader.conf", "EFI/grub.cfg", "theirs"):
        (efi / name).touch()  # its time was never kept
    assert "drift" not in world.good()
    world.state("tick").write_text("167\n")  # the next one compares all by content
    assert world.good() == ""
    world.put({"boot/efi/loader.conf": "2, longer\n"})
    assert "changed: /boot/efi/loader.conf" in world.good()
    assert (efi / "loader.conf").read_text() == "2, longer\n"


def test_drift_undo_and_withdrawal(tmp_path: Path, efi: Path) -> None:
    (tmp_path / "disk/before").write_text("before\n")
    world = World(tmp_path, {"boot/efi/a": "1\n", "boot/efi/before": "2\n", "etc/e": "e\n"})
    world.good()
    (efi / "a").write_text("edited\n")
    assert "drift: /boot/efi/a" in world.good()
    assert (efi / "a").read_text() == "1\n"
    world.pc.run("undo").ok()
    assert (efi / "a").read_text() == "edited\n"
    world.pc.run("resume").ok()
    world.good()
    world.take("boot/efi/before")
    world.good()
    assert (efi / "before").read_text() == "before\n"
    assert (efi / "a").read_text() == "1\n"


def test_a_mode_that_somebody_changes_while_rsync_works_is_put_right_elsewhere(
    tmp_path: Path,
) -> None:
    """Only what the disk cannot hold is taken as it is."""
    world = World(tmp_path, {"etc/a": File("1\n", 0o640)})
    world.good()
    world.at("etc/a").chmod(0o777)
    assert "drift: /etc/a" in world.good()
    assert world.at("etc/a").stat().st_mode & 0o777 == 0o640
