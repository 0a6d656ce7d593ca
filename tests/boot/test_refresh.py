"""The menu follows the systems: kernels copied, named by one rename, removed when gone.

For GRUB and for systemd-boot, whose boot partition is one with a directory `loader`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client.boot import boot_loader, menu_partition, menu_unchanged, systemd_boot
from allie.core.boot import boot_loader_spec
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.disk import efivars
from allie.machine.roots import open_system
from allie.machine.roots.volume import Volume


@pytest.fixture(params=["grub", "systemd-boot"], autouse=True)
def loader(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whose boot partition it is, before anything is on it; and firmware of its own."""
    (tmp_path / "boot").mkdir()
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars/Boot0000").touch()
    monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "efivars"))
    if request.param == "systemd-boot":
        systemd_boot.claim(Volume(str(tmp_path / "boot")))
    return str(request.param)


def machine(at: Path, *releases: str) -> tuple[System, Settings, Volume]:
    """A base with kernels of these releases, its settings, and an empty boot partition."""
    (at / "root/boot").mkdir(parents=True)
    for release in releases:
        kernel(at, release)
    settings = Settings("deb", ("/srv",), ("common",), root="LABEL=deb")
    return open_system.open_system(str(at / "root")), settings, Volume(str(at / "boot"))


def kernel(at: Path, release: str, words: str = "kernel") -> None:
    (at / f"root/boot/vmlinuz-{release}").write_text(words)
    (at / f"root/boot/initrd.img-{release}").write_text("initrd")


def files(boot: Volume) -> dict[str, int]:
    return {str(each): each.stat().st_ino for each in Path(boot.at).rglob("*") if each.is_file()}


def test_newest_first_and_a_second_run_writes_nothing(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1.0-9", "6.1.0-18")
    (tmp_path / "root/boot/vmlinuz-7.0").write_text("its initramfs is not made yet")
    made = menu_partition.refresh(*pc)
    assert [each.id for each in made.entries] == ["deb/6.1.0-18", "deb/6.1.0-9"]
    assert made.env == {"allie_default": "deb/6.1.0-18"}
    before = files(pc[2])
    assert not menu_partition.refresh(*pc).changed
    assert files(pc[2]) == before


def test_a_kernel_gone_and_one_rebuilt(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1", "6.2")
    menu_partition.refresh(*pc)
    os.unlink(tmp_path / "root/boot/vmlinuz-6.2")
    kernel(tmp_path, "6.1", "kernel, rebuilt")
    made = menu_partition.refresh(*pc)
    assert made.env == {"allie_default": "deb/6.1"}
    assert (Path(pc[2].at) / made.entries[0].kernel[1:]).read_text() == "kernel, rebuilt"
    assert len(list((Path(pc[2].at) / "systems/deb").iterdir())) == 1


def test_no_kernel_leaves_the_menu_as_it_is(tmp_path: Path) -> None:
    pc = machine(tmp_path, "6.1")
    menu_partition.refresh(*pc)
    before = files(pc[2])
    os.unlink(tmp_path / "root/boot/vmlinuz-6.1")
    with pytest.raises(StateError, match="no kernel"):
        menu_partition.refresh(*pc)
    assert files(pc[2]) == before


def test_a_full_boot_partition_leaves_the_menu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pc = machine(tmp_path, "6.1")
    menu_partition.refresh(*pc)
    kernel(tmp_path, "6.2")
    before = files(pc[2])
    monkeypatch.setattr("allie.machine.files.free_space._SPARE", 1 << 60)
    with pytest.raises(StateError, match="nothing was begun"):
        menu_partition.refresh(*pc)
    assert files(pc[2]) == before


@pytest.mark.parametrize("step", range(14))
def test_cut_short_at_any_rename_it_boots_and_converges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    pc = machine(tmp_path, "6.1")
    menu_partition.refresh(*pc)
    kernel(tmp_path, "6.1", "kernel, rebuilt")
    kernel(tmp_path, "6.2")
    calls = 0
    real = os.rename

    def rename(source: str, target: str, **more: int) -> None:
        nonlocal calls
        calls += 1
        if calls > step:
            raise KeyboardInterrupt
        real(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename)
        try:
            menu_partition.refresh(*pc)
        except KeyboardInterrupt:
            there = menu_partition.loader_of(pc[2]).read()
            assert there.kernels
            assert all(os.path.isfile(pc[2].at + each) for each in there.kernels)
            assert there.env["allie_default"] in there.ids
    made = menu_partition.refresh(*pc)
    assert [each.release for each in made.entries] == ["6.2", "6.1"]
    assert not menu_partition.refresh(*pc).changed
    assert not list(Path(pc[2].at).rglob("*.part"))


def test_times_are_compared_as_fat_has_them(tmp_path: Path) -> None:
    """It counts from 1980, in steps of two seconds."""
    pc = machine(tmp_path, "6.1")
    for source, copy in ((0, 315532800), (1700000001, 1700000000)):
        os.utime(tmp_path / "root/boot/vmlinuz-6.1", (source, source))
        at = pc[2].at + menu_partition.refresh(*pc).entries[0].kernel
        os.utime(at, (copy, copy))
        assert not menu_partition.refresh(*pc).changed


@pytest.mark.parametrize("loader", ["systemd-boot"], indirect=True)
class TestSystemdBoot:
    """What is systemd-boot's alone."""

    def boots(self, boot: Volume) -> list[str]:
        """What it would boot, one after the other, if nothing came up: it renames as it counts."""
        found = []
        entries = Path(boot.at) / "loader/entries"
        for _ in range(3):
            number = boot_loader_spec.standing(
                (entries.parent / "loader.conf").read_text(), {}, "", ""
            ).number
            names = [each for each in os.listdir(entries) if each.startswith(f"allie-{number}-")]
            name = max(names, key=lambda each: ("+0" not in each, each))
            entry = boot_loader_spec.parse((entries / name).read_text())
            assert entry
            found.append(entry.id)
            bare, _, counter = name[: -len(".conf")].partition("+")
            left, _, done = counter.partition("-")
            if left not in ("", "0"):
                counted = f"{bare}+{int(left) - 1}-{int(done or 0) + 1}.conf"
                os.rename(entries / name, entries / counted)
        return found

    def test_the_default_is_tried_twice_and_gives_way(self, tmp_path: Path) -> None:
        pc = machine(tmp_path, "6.1", "6.2")
        made = menu_partition.refresh(*pc)
        assert self.boots(pc[2]) == ["deb/6.2"] * 3, "it has nothing to give way to"
        menu_partition.loader_of(pc[2]).write_env({**made.env, "allie_good": "deb/6.2"})
        kernel(tmp_path, "6.3")
        assert menu_partition.refresh(*pc).env["allie_default"] == "deb/6.3"
        assert self.boots(pc[2]) == ["deb/6.3", "deb/6.3", "deb/6.2"]
        made = menu_partition.refresh(*pc)
        env = {"allie_default": "deb/6.2", "allie_good": "deb/6.2", "allie_bad": "deb/6.3"}
        assert (made.changed, made.env) == (True, env)
        assert self.boots(pc[2]) == ["deb/6.2"] * 3
        assert not menu_partition.refresh(*pc).changed

    def test_a_count_outlives_another_menu_and_ends_with_a_tick(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pc = machine(tmp_path, "6.1", "6.2")
        menu_partition.refresh(*pc)
        env = {"allie_default": "deb/6.2", "allie_good": "deb/6.1"}
        menu_partition.loader_of(pc[2]).write_env(env)
        self.boots(pc[2])
        kernel(tmp_path, "6.1", "kernel, rebuilt")
        monkeypatch.setattr(boot_loader, "running", lambda: "deb/6.2")
        made = menu_partition.refresh(*pc)
        assert made.env["allie_tries"] == "2"
        assert self.boots(pc[2])[0] == "deb/6.1"
        base = pc[0]._replace(root="/", name="deb")
        assert menu_partition.confirm(base, pc[2])
        assert self.boots(pc[2]) == ["deb/6.2"] * 3
        assert not menu_partition.confirm(base, pc[2])

    def test_once_is_a_variable_of_the_firmware(self, tmp_path: Path) -> None:
        pc = machine(tmp_path, "6.1", "6.2")
        env = menu_partition.refresh(*pc).env
        once = tmp_path / f"efivars/LoaderEntryOneShot-{efivars._VENDOR}"
        menu_partition.loader_of(pc[2]).write_env({**env, "next_entry": "deb/6.1"})
        assert once.read_bytes() == b"\7\0\0\0" + "allie-1-00-deb.conf\0".encode("utf-16-le")
        kernel(tmp_path, "6.3")
        made = menu_partition.refresh(*pc)
        assert made.env == {"allie_default": "deb/6.3", "next_entry": "deb/6.1"}
        assert efivars.read(boot_loader_spec.ONCE) == "allie-2-00-deb.conf", (
            "the same entry, by its new name"
        )
        once.unlink()  # as systemd-boot does
        assert not menu_partition.refresh(*pc).changed
        efivars.write(boot_loader_spec.ONCE, "auto-windows")
        assert not menu_partition.refresh(*pc).changed, "what is not ours stays"

    def test_a_default_chosen_in_its_own_menu(self, tmp_path: Path) -> None:
        pc = machine(tmp_path, "6.1", "6.2")
        menu_partition.refresh(*pc)
        efivars.write(boot_loader_spec.ALWAYS, "allie-1-00-deb.conf")
        assert menu_partition.refresh(*pc).env == {
            "allie_default": "deb/6.1",
            "allie_pin": "deb/6.1",
        }
        assert efivars.read(boot_loader_spec.ALWAYS) == ""

    def test_firmware_that_takes_no_variable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pc = machine(tmp_path, "6.1", "6.2")
        env = menu_partition.refresh(*pc).env
        monkeypatch.setattr(efivars, "_TOP", str(tmp_path / "none"))
        with pytest.raises(StateError, match="does not take the variable LoaderEntryOneShot"):
            menu_partition.loader_of(pc[2]).write_env({**env, "next_entry": "deb/6.1"})
        assert menu_partition.loader_of(pc[2]).read().env == env

    def test_names_that_fat_does_not_tell_apart(self, tmp_path: Path) -> None:
        base, settings, boot = machine(tmp_path, "6.1")
        settings = settings._replace(system="Deb", others=(Declared("dEB", "LABEL=x"),))
        made = menu_partition.refresh(base, settings, boot)
        assert made.without == ("dEB: on FAT its name is another system's",)
        assert made.entries[0].kernel == "/systems/deb/6.1/vmlinuz"


def test_a_note_holds_until_something_changes(tmp_path: Path) -> None:
    base, settings, _ = machine(tmp_path, "6.1")
    assert not menu_unchanged.holds(base, settings)
    menu_unchanged.write(base, settings)
    assert menu_unchanged.holds(base, settings)
    other = Declared("el7", "PARTLABEL=system2")
    assert not menu_unchanged.holds(base, settings._replace(others=(other,)))
    assert not menu_unchanged.holds(base, settings._replace(root="LABEL=other"))
    kernel(tmp_path, "6.2")
    assert not menu_unchanged.holds(base, settings)
    menu_unchanged.write(base, settings)
    (tmp_path / "root/etc/kernel").mkdir(parents=True)
    (tmp_path / "root/etc/kernel/cmdline").write_text("quiet\n")
    assert not menu_unchanged.holds(base, settings)
