"""A boot partition that somebody prepared: nothing is read, written or removed by a link on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from allie.client.boot import menu_partition, systemd_boot
from allie.core.errors import AllieError, StateError
from allie.machine.disk import efivars
from allie.machine.roots import kernels, volume
from allie.machine.roots.volume import Astray, Volume
from tests.boot.test_refresh import kernel, machine

Plant = Callable[[Path, Path], None]  # (where it is to stand, the victim's directory)


def _link(at: Path, victim: Path) -> None:
    at.symlink_to(victim)


def _up(at: Path, victim: Path) -> None:
    at.symlink_to(os.path.relpath(victim, at.parent))


def _fifo(at: Path, _victim: Path) -> None:
    os.mkfifo(at)


def _file_link(at: Path, victim: Path) -> None:
    at.symlink_to(victim / "thesis")


def _endless(at: Path, _victim: Path) -> None:
    with at.open("wb") as file:
        file.truncate(15 << 40 if at.parent.parent.name != "loader" else 1 << 30)


PLACES = [
    *("grub", "grub/grub.cfg", "grub/grubenv", "grub/grub.cfg.part", "grub/grubenv.part"),
    *("loader", "loader/entries", "loader/loader.conf", "loader/loader.conf.part"),
    *("loader/entries/allie-1-00-deb.conf", "loader/entries/allie-0-00-deb.conf"),
    *("systems", "systems/evil", "systems/evil/6.1", "systems/deb", "systems/deb/6.1"),
    *("systems/deb/6.1/vmlinuz", "systems/deb/6.1/initrd", "systems/deb/6.1/vmlinuz.part"),
    *("systems/deb/6.0", "systems/deb/6.0/vmlinuz"),
]


@pytest.fixture
def victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "efivars").mkdir()
    monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "efivars"))
    (tmp_path / "home/6.1").mkdir(parents=True)
    (tmp_path / "home/thesis").write_text("of years")
    (tmp_path / "home/6.1/vmlinuz.part").write_text("mine")
    return tmp_path / "home"


def _state(top: Path) -> list[tuple[str, int, int]]:
    return sorted(
        (str(each), each.lstat().st_ino, each.lstat().st_mtime_ns) for each in top.rglob("*")
    )


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("plant", [_link, _up, _file_link, _fifo, _endless])
@pytest.mark.parametrize("loader", ["grub", "systemd-boot"])
def test_whatever_stands_where_ours_is_to_be(
    tmp_path: Path, victim: Path, place: str, plant: Plant, loader: str
) -> None:
    """It is replaced, or left and named; the menu is then as it was, and nothing waits."""
    (tmp_path / "boot").mkdir()
    pc = machine(tmp_path, "6.1")
    if loader == "systemd-boot":
        systemd_boot.claim(pc[2])
    at = tmp_path / "boot" / place
    if at.exists():
        at.rmdir()
    at.parent.mkdir(parents=True, exist_ok=True)
    plant(at, victim)
    before = _state(victim)
    try:
        made = menu_partition.refresh(*pc)
    except AllieError as error:
        assert str(tmp_path / "boot") in str(error), "it says where"
    else:
        assert [each.id for each in made.entries] == ["deb/6.1"]
        assert not menu_partition.refresh(*pc).changed
        for each in menu_partition.loader_of(pc[2]).read().kernels:
            assert pc[2].is_file(each)
    assert _state(victim) == before


def test_what_is_no_directory_of_ours_goes_and_what_it_led_to_stays(
    tmp_path: Path, victim: Path
) -> None:
    (tmp_path / "boot/systems").mkdir(parents=True)
    pc = machine(tmp_path, "6.1")
    (tmp_path / "boot/systems/evil").symlink_to(victim)
    (tmp_path / "boot/systems/old").mkdir()
    (tmp_path / "boot/systems/old/5.10").symlink_to(victim)
    assert menu_partition.refresh(*pc).changed
    assert os.listdir(tmp_path / "boot/systems") == ["deb"]
    assert (victim / "thesis").read_text() == "of years"


@pytest.mark.parametrize("plant", [_link, _up, _fifo, _file_link])
@pytest.mark.parametrize("name", ["vmlinuz-6.1", "initrd.img-6.1"])
def test_a_systems_kernel_that_is_none(
    tmp_path: Path, victim: Path, plant: Plant, name: str
) -> None:
    """A link inside the system's root is followed there; it is never the base's file."""
    (tmp_path / "boot").mkdir()
    pc = machine(tmp_path, "6.1")
    os.unlink(tmp_path / "root/boot" / name)
    plant(tmp_path / "root/boot" / name, victim)
    with pytest.raises(StateError):
        menu_partition.refresh(*pc)
    assert not (tmp_path / "boot/systems").exists()


def test_a_command_line_without_an_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/kernel").mkdir(parents=True)
    assert kernels.cmdline(str(root)) == ""
    with (root / "etc/kernel/cmdline").open("wb") as file:
        file.write(b"quiet")
        file.truncate(15 << 40)
    assert kernels.cmdline(str(root)).rstrip("\0") == "quiet"
    os.unlink(root / "etc/kernel/cmdline")
    os.mkfifo(root / "etc/kernel/cmdline")
    assert kernels.cmdline(str(root)) == ""


def test_a_volume_reads_to_a_bound_and_lists_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    here = Volume(str(tmp_path))
    assert here.read("a", 100) == b"x" * 100
    assert here.read("a", 99) is None
    monkeypatch.setattr(volume, "_MOST_NAMES", 2)
    for name in "bc":
        (tmp_path / name).touch()
    with pytest.raises(Astray, match="more than 2 names"):
        here.names("")
    here.close()


def test_the_next_menu_after_a_hostile_one(tmp_path: Path, victim: Path) -> None:
    """Once the link is gone, as the message says, the menu is made."""
    (tmp_path / "boot").mkdir()
    pc = machine(tmp_path, "6.1")
    (tmp_path / "boot/systems").symlink_to(victim)
    kernel(tmp_path, "6.2")
    with pytest.raises(Astray, match="boot/systems is a symlink"):
        menu_partition.refresh(*pc)
    os.unlink(tmp_path / "boot/systems")
    assert len(menu_partition.refresh(*pc).entries) == 2
