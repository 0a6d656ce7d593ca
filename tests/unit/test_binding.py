"""What is noted of a disk, when, and what then counts as noted."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from allie.client.situation import bound_disks
from allie.client.situation.bound_disks import NoPartition, NotBound, NotOurs
from allie.core.boot.partition_choice import Candidate
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.disk import labelled, physical
from allie.machine.roots import open_system
from allie.machine.roots.volume import Astray
from tests.unit.test_bond import SDA, SDB, STICK, on

EL7 = Declared("el7", "LABEL=el7", "el7", ("kit",))
BOOT = "LABEL=allie-boot"


class Disks:
    """What the PC has now: candidates by what allie.conf calls them."""

    def __init__(self) -> None:
        self.there: dict[str, list[Candidate]] = {}

    @contextmanager
    def pinned(self, where: str, device: str = "") -> Iterator[list[Candidate]]:
        found = self.there.get(where, [])
        yield [each for each in found if device in ("", each.device)]


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    made = Disks()
    monkeypatch.setattr(labelled, "pinned", made.pinned)
    monkeypatch.setattr(physical, "of_root", lambda: [SDA])
    return made


@pytest.fixture
def base(tmp_path: Path) -> System:
    (tmp_path / "pc").mkdir()
    return open_system.open_system(str(tmp_path / "pc"))


def _device(base: System, declared: Declared = EL7) -> str:
    with bound_disks.pinned(base, declared) as found:
        return found.device


def test_a_pc_of_before_notes_it_once(base: System, disks: Disks) -> None:
    os.makedirs(f"{base.systems}/el7")
    disks.there["LABEL=el7"] = [on(SDB)]
    assert _device(base) == "/dev/sdb1"
    note = Path(base.systems, "el7/binding")
    assert note.stat().st_mode & 0o777 == 0o600
    assert json.loads(note.read_text())["uuid"] == "u1"
    disks.there["LABEL=el7"] = [on(SDB, uuid="u2")]
    with pytest.raises(NotBound, match="not bound: LABEL=el7: /dev/sdb1 is not the disk"):
        _device(base)


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "nonsense", '{"where": "LABEL=other"}'])
def test_a_book_of_now_is_no_permission(base: System, disks: Disks, text: str | None) -> None:
    """Whatever stands in it: a tick that was refused made one, too."""
    disks.there["LABEL=el7"] = [on(SDB)]
    for _ in range(2):
        with pytest.raises(NotBound, match="was never this system's"):
            _device(base)
        book = bound_disks.book(base, "el7")
        assert os.listdir(base.systems) == ["el7"]
        if text is not None:
            Path(book, "binding").write_text(text)


def test_beside_the_root_it_needs_nobody(base: System, disks: Disks) -> None:
    disks.there["LABEL=el7"] = [on(SDA)]
    assert _device(base) == "/dev/sda1"
    disks.there["LABEL=el7"] = [on(STICK), on(SDA)]
    assert _device(base) == "/dev/sda1", "once it is known, no stick stops it"


def test_another_label_in_allie_conf_is_another_disk(base: System, disks: Disks) -> None:
    disks.there["LABEL=el7"] = disks.there["LABEL=new"] = [on(SDB)]
    bound_disks.trust(base, EL7)
    assert _device(base) == "/dev/sdb1"
    with pytest.raises(NotBound):
        _device(base, EL7._replace(root="LABEL=new"))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([on(SDB), on(STICK)], "2 file systems have LABEL=el7: /dev/sdb1 /dev/sdc1"),
        ([], "no partition of this PC has LABEL=el7"),
        ([on(SDB, uuid="")], "holds no file system"),
        ([on()], "lies on no disk that can be told"),
    ],
)
def test_what_even_a_person_cannot_bind(
    base: System, disks: Disks, found: list[Candidate], why: str
) -> None:
    disks.there["LABEL=el7"] = found
    with pytest.raises(StateError, match=why):
        bound_disks.trust(base, EL7)
    with pytest.raises(StateError):
        _device(base)


def test_a_device_that_was_named_is_meant_whatever_else_has_its_label(
    base: System, disks: Disks
) -> None:
    disks.there["LABEL=el7"] = [on(SDB), on(STICK)]
    assert bound_disks.trust(base, EL7, "/dev/sdc1") == "/dev/sdc1"
    assert _device(base) == "/dev/sdc1"


def test_the_boot_partition(base: System, disks: Disks) -> None:
    with pytest.raises(NoPartition), bound_disks.boot_pinned(base):
        pass
    disks.there[BOOT] = [on(STICK)]
    with pytest.raises(NotOurs, match="allie boot --trust"), bound_disks.boot_pinned(base):
        pass
    os.makedirs(base.state)
    assert bound_disks.trust_boot(base) == "/dev/sdc1"
    with bound_disks.boot_pinned(base) as found:
        assert found.device == "/dev/sdc1"
    disks.there[BOOT] = [on(SDB)]
    with pytest.raises(NotBound, match="not bound") as refused, bound_disks.boot_pinned(base):
        pass
    assert not isinstance(refused.value, NotOurs), "this PC has one, and it is not there"


def test_what_a_system_is_told_for_the_day_when_it_is_booted(
    base: System, disks: Disks, tmp_path: Path
) -> None:
    """Booted from another disk, it knows the boot partition, and the system that told it."""
    (tmp_path / "el7").mkdir()
    other = Declared("el8", "LABEL=el8", "el8", ("kit",))
    settings = Settings("deb", ("/s",), ("kit",), root="LABEL=deb", others=(EL7, other))
    disks.there = {
        BOOT: [on(SDA, uuid="ub")],
        "LABEL=deb": [on(SDA, uuid="ud")],
        "LABEL=el7": [on(SDB, uuid="u7")],
        "LABEL=el8": [on(SDB, uuid="u8", device="/dev/sdb2")],
    }
    for each in (EL7, other):
        bound_disks.trust(base, each)
    root = str(tmp_path / "el7")
    bound_disks.hand_over(base, settings, EL7, root)
    assert not os.listdir(root), "only by the system that runs"
    running = base._replace(root="/", run=str(tmp_path / "run"))
    bound_disks.hand_over(running, settings, EL7, root)
    bound_disks.hand_over(running, settings, Declared("el7", "/systems/el7"), str(tmp_path))
    sibling = open_system.open_system(root)
    assert sorted(os.listdir(sibling.systems)) == ["deb", "el8"]
    for name in ("deb", "el8"):
        assert Path(sibling.systems, name, "binding").stat().st_mode & 0o777 == 0o600
    physical_root = [SDB]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(physical, "of_root", lambda: physical_root)
        with bound_disks.boot_pinned(sibling) as boot:
            assert boot.uuid == "ub"
        assert _device(sibling, Declared("deb", "LABEL=deb")) == "/dev/sda1"
        assert _device(sibling, other) == "/dev/sdb2"
    os.rename(sibling.systems, f"{sibling.state}/away")
    os.symlink(tmp_path / "run", sibling.systems)
    with pytest.raises(Astray):
        bound_disks.hand_over(running, settings, EL7, root)
    os.unlink(sibling.systems)
    os.rename(f"{sibling.state}/away", sibling.systems)
    before = os.stat(f"{sibling.systems}/deb/binding").st_ino
    bound_disks.hand_over(running, settings, EL7, root)
    assert os.stat(f"{sibling.systems}/deb/binding").st_ino == before, "written once"


def test_what_is_bound_is_published_once_a_boot(base: System, disks: Disks, tmp_path: Path) -> None:
    """Of a system that no tick mounts, too; and nothing of one that is bound no more."""
    device = on(SDA, device="/dev/null")
    disks.there["LABEL=el7"] = [device]
    running = base._replace(root="/", run=str(tmp_path / "run"))
    public = tmp_path / "run/bound/el7"
    bound_disks.renew(running, EL7)
    assert not public.exists(), "it was never bound"
    bound_disks.trust(base, EL7)
    assert not public.exists(), "of this PC alone"
    bound_disks.renew(running, EL7)
    assert public.read_text() == "1:3\n"
    assert public.stat().st_mode & 0o777 == 0o644
    assert public.parent.stat().st_mode & 0o777 == 0o755
    public.unlink()
    disks.there["LABEL=el7"] = [device._replace(disks=(STICK,))]
    bound_disks.renew(running, EL7)
    assert not public.exists()
