"""The menu follows the systems: kernels copied, named by one rename, removed when gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client import bootmenu, bootnote
from allie.core.errors import StateError
from allie.core.settings import Declared, Settings
from allie.core.system import System
from allie.machine import locate


def machine(at: Path, *releases: str) -> tuple[System, Settings, str]:
    """A base with kernels of these releases, its settings, and an empty boot partition."""
    (at / "root/boot").mkdir(parents=True)
    (at / "boot").mkdir()
    for release in releases:
        kernel(at, release)
    settings = Settings("deb", ("/srv",), ("common",), root="LABEL=deb")
    return locate.open_system(str(at / "root")), settings, str(at / "boot")


def kernel(at: Path, release: str, words: str = "kernel") -> None:
    (at / f"root/boot/vmlinuz-{release}").write_text(words)
    (at / f"root/boot/initrd.img-{release}").write_text("initrd")


def files(boot: str) -> dict[str, int]:
    return {str(each): each.stat().st_ino for each in Path(boot).rglob("*") if each.is_file()}


def test_newest_first_and_a_second_run_writes_nothing(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1.0-9", "6.1.0-18")
    (tmp_path / "root/boot/vmlinuz-7.0").write_text("its initramfs is not made yet")
    made = bootmenu.refresh(*pc)
    assert [each.id for each in made.entries] == ["deb/6.1.0-18", "deb/6.1.0-9"]
    assert made.env == {"allie_default": "deb/6.1.0-18"}
    before = files(pc[2])
    assert not bootmenu.refresh(*pc).changed
    assert files(pc[2]) == before


def test_a_kernel_gone_and_one_rebuilt(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1", "6.2")
    bootmenu.refresh(*pc)
    os.unlink(tmp_path / "root/boot/vmlinuz-6.2")
    kernel(tmp_path, "6.1", "kernel, rebuilt")
    made = bootmenu.refresh(*pc)
    assert made.env == {"allie_default": "deb/6.1"}
    assert (Path(pc[2]) / made.entries[0].kernel[1:]).read_text() == "kernel, rebuilt"
    assert len(list((Path(pc[2]) / "systems/deb").iterdir())) == 1


def test_no_kernel_leaves_the_menu_as_it_is(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1")
    bootmenu.refresh(*pc)
    before = files(pc[2])
    os.unlink(tmp_path / "root/boot/vmlinuz-6.1")
    with pytest.raises(StateError, match="no kernel"):
        bootmenu.refresh(*pc)
    assert files(pc[2]) == before


def test_a_full_boot_partition_leaves_the_menu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pc = machine(tmp_path, "6.1")
    bootmenu.refresh(*pc)
    kernel(tmp_path, "6.2")
    before = files(pc[2])
    monkeypatch.setattr("allie.machine.room._SPARE", 1 << 60)
    with pytest.raises(StateError, match="nothing was begun"):
        bootmenu.refresh(*pc)
    assert files(pc[2]) == before


@pytest.mark.parametrize("step", range(12))
def test_cut_short_at_any_rename_it_boots_and_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    pc = machine(tmp_path, "6.1")
    bootmenu.refresh(*pc)
    kernel(tmp_path, "6.1", "kernel, rebuilt")
    kernel(tmp_path, "6.2")
    calls = 0
    real = os.rename

    def rename(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        if calls > step:
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        try:
            bootmenu.refresh(*pc)
        except KeyboardInterrupt:
            text = (Path(pc[2]) / "grub/grub.cfg").read_text()
            named = [each.split("'")[1] for each in text.splitlines() if "  linux '" in each]
            assert named
            assert all(os.path.isfile(pc[2] + each) for each in named)
    made = bootmenu.refresh(*pc)
    assert [each.release for each in made.entries] == ["6.2", "6.1"]
    assert not bootmenu.refresh(*pc).changed
    assert not list(Path(pc[2]).rglob("*.part"))


def test_a_note_holds_until_something_changes(tmp_path: Path) -> None:
    base, settings, _ = machine(tmp_path, "6.1")
    assert not bootnote.holds(base, settings)
    bootnote.write(base, settings)
    assert bootnote.holds(base, settings)
    other = Declared("el7", "PARTLABEL=system2")
    assert not bootnote.holds(base, settings._replace(others=(other,)))
    assert not bootnote.holds(base, settings._replace(root="LABEL=other"))
    kernel(tmp_path, "6.2")
    assert not bootnote.holds(base, settings)
    bootnote.write(base, settings)
    (tmp_path / "root/etc/kernel").mkdir(parents=True)
    (tmp_path / "root/etc/kernel/cmdline").write_text("quiet\n")
    assert not bootnote.holds(base, settings)
