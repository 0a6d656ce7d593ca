"""The disks that this PC's other systems, and its boot menu, are bound to: noted once, then asked.

    var/lib/allie/systems/NAME/binding     what the system NAME is bound to (root alone reads it)
    var/lib/allie/boot-binding             the boot partition, where it is not beside `/`
    run/allie/bound/NAME                   the device that it is now; all read it (client.use.enter)

Every command that mounts a partition comes through here first (core.boot.partition_choice decides).
A person at this PC binds one by `allie system add NAME --format DEVICE` or `--trust`. A tick does
so by itself where no stranger's disk can be meant: for a plain partition of the disk that `/` lies
on, and for systems that the PC looked after before there were bindings.
"""

from __future__ import annotations

import json
import os
from _collections_abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from allie.core.boot import partition_choice
from allie.core.boot.partition_choice import Binding, Candidate
from allie.core.conf import system_roots
from allie.core.conf.settings import Declared, Settings
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.disk import file_systems, labelled, physical
from allie.machine.disk.file_systems import TO_READ, Way
from allie.machine.files import atomic
from allie.machine.roots import open_system, volume

_BOOT = f"LABEL={system_roots.BOOT_LABEL}"
_NONE = "{}\n"  # the binding of a new system; it has no such file if it is older than bindings


class NotBound(StateError):
    """A partition has the label, and is not known to be this PC's own."""


class NotOurs(NotBound):
    """There is a boot partition, and this PC never had one: it is somebody's stick."""


class NoPartition(StateError):
    """No partition has the label."""


def book(base: System, name: str) -> str:
    """The directory of what the base notes about another system."""
    place, new = f"{base.systems}/{name}", f"{base.systems}/.{name}.new"
    if os.path.isdir(place):
        return place
    try:
        os.makedirs(new, 0o700, exist_ok=True)
        atomic.write(f"{new}/binding", _NONE, 0o600)
        os.rename(new, place)  # never seen without: it would pass for one older than bindings
    except OSError as error:
        if not os.path.isdir(place):  # else another process was quicker
            raise StateError(f"cannot make {place}: {error.strerror}") from error
    return place


@contextmanager
def mounted(base: System, declared: Declared, at: str, way: Way) -> Iterator[str]:
    """Mount a system's partition, for us alone. Raises StateError where it is not bound."""
    with ExitStack() as stack:
        with pinned(base, declared) as found:  # until it is mounted: then its number is taken
            root = stack.enter_context(file_systems.mounted(found.device, at, way, found.kind))
        yield root


@contextmanager
def pinned(base: System, declared: Declared) -> Iterator[Candidate]:
    """A system's partition, kept open, and bound now if that can be. Raises StateError."""
    name, where = declared.name, declared.root
    noted, known = _noted(base, name, where)
    with labelled.pinned(where) as found:
        mine, why = partition_choice.choose(found, noted, physical.of_root(), known=known)
        if not mine and not why:
            words = f"no partition of this PC has {where}"
            raise NoPartition(words, f"make one: allie system add {name} --format DEVICE")
        if not mine:
            raise NotBound(
                f"not bound: {where}: {why}",
                _relabel(found) or f"if it is to be: allie system add {name} --trust",
            )
        if not noted:
            _write(f"{book(base, name)}/binding", partition_choice.record(where, mine))
        _publish(base, name, mine)
        yield mine


def trust(
    base: System, declared: Declared, device: str = "", look: Callable[[str], None] | None = None
) -> str:
    """Bind a system to the one partition with its label, or to a device; the device.

    A person says so, at this PC: any disk will do. Raises StateError where it cannot be told.
    look: is shown what is on it, read-only, and may raise: then nothing is bound.
    """
    where = declared.root
    place = f"{book(base, declared.name)}/binding"
    with labelled.pinned(where, device) as found:
        if look and len(found) == 1:
            at = f"{base.run}/roots/{declared.name}"
            with file_systems.mounted(found[0].device, at, TO_READ, found[0].kind) as root:
                look(root)
        bound = _bind(place, where, found)
        _publish(base, declared.name, found[0])
        return bound


def renew(base: System, declared: Declared) -> None:
    """Once a boot, publish what a system is bound to that no tick mounts: one only entered."""
    place = f"{base.systems}/{declared.name}/binding"
    if base.is_base and os.path.exists(place) and not os.path.exists(_public(base, declared.name)):
        try:
            with pinned(base, declared):
                pass
        except StateError:
            pass  # it is not there now


def trust_boot(base: System) -> str:
    """Bind the boot partition, on whatever disk it is; its device. Raises StateError."""
    with labelled.pinned(_BOOT) as found:
        return _bind(_boot_place(base), _BOOT, found)


@contextmanager
def boot_pinned(base: System, device: str = "") -> Iterator[Candidate]:
    """The boot partition, kept open. device: the one that was made just now.

    Raises NoPartition where none has its label, NotBound where it is not this PC's.
    """
    noted = _record(_boot_place(base), _BOOT)
    with labelled.pinned(_BOOT, device) as found:
        mine, why = partition_choice.choose_boot(found, noted, physical.of_root())
        if device:
            mine = found[0] if found else None
        if not mine and not why:
            words = f"this PC has no boot partition of ALLiE's ({_BOOT})"
            raise NoPartition(words, "it boots by its own system's menu")
        if not mine:
            kind = NotBound if noted else NotOurs
            hint = _relabel(found) if noted else ""
            raise kind(f"not bound: {_BOOT}: {why}", hint or "if it is to be: allie boot --trust")
        yield mine


def hand_over(base: System, settings: Settings, declared: Declared, root: str) -> None:
    """Tell another system of this PC what is bound, for the day that it is booted.

    Nothing is written by a link that its scripts may have made.
    """
    if not base.is_base or not declared.is_partition:
        return
    sibling = open_system.open_system(root)
    records: dict[str, Binding] = {}
    for each in settings.others:
        noted = _noted(base, each.name, each.root)[0]
        if noted and each.name != declared.name:
            records[f"{sibling.systems}/{each.name}/binding"] = noted
    try:
        with boot_pinned(base) as boot:
            records[_boot_place(sibling)] = partition_choice.record(_BOOT, boot)
    except StateError:
        pass  # it has none, or none that is sure
    own = _own_record(settings)
    if own:
        records[f"{sibling.systems}/{settings.system}/binding"] = own
    with volume.opened(sibling.root) as there:
        for place, wanted in records.items():
            path = place[len(sibling.root) :]
            if _parsed(there.read(path), wanted.where) != wanted:
                there.make(os.path.dirname(path), 0o700)
                there.write(path, _text(wanted), 0o600)


def _own_record(settings: Settings) -> Binding | None:
    """What the running system itself would be bound to; None where that is not sure."""
    if not Declared(settings.system, settings.root).is_partition:
        return None
    with labelled.pinned(settings.root) as found:
        root = physical.of_root()
        own = partition_choice.choose(found, None, root, known=True)[0]
        if own and partition_choice.is_on(own, root):
            return partition_choice.record(settings.root, own)
        return None


def _bind(place: str, where: str, found: list[Candidate]) -> str:
    if len(found) != 1:
        many = f"{len(found)} file systems have {where}: {' '.join(each.device for each in found)}"
        raise StateError(many if found else f"no partition of this PC has {where}", _relabel(found))
    only = found[0]
    if not only.disks or not only.uuid:
        what = "lies on no disk that can be told" if only.uuid else "holds no file system"
        raise StateError(f"{only.device} {what}: it cannot be bound", f"blkid -p {only.device}")
    _write(place, partition_choice.record(where, only))
    return only.device


def _public(base: System, name: str) -> str:
    return f"{base.run}/bound/{name}"


def _publish(base: System, name: str, found: Candidate) -> None:
    """Tell users which device is bound, who cannot read why."""
    if not base.is_base:
        return
    number = os.stat(found.device).st_rdev
    word = physical.appearance(f"{os.major(number)}:{os.minor(number)}") + "\n"
    place = _public(base, name)
    if atomic.read(place) != word:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.chmod(os.path.dirname(place), 0o755)
        atomic.write(place, word, durable=False)


def _relabel(found: list[Candidate]) -> str:
    if len(found) < 2:
        return ""
    return "give each its own label (e2label, xfs_admin -L, btrfs filesystem label)"


def _noted(base: System, name: str, where: str) -> tuple[Binding | None, bool]:
    """(what a system is bound to, whether the PC looked after it before there were bindings)."""
    place = f"{base.systems}/{name}"
    known = os.path.isdir(place) and not os.path.lexists(f"{place}/binding")
    return _record(f"{place}/binding", where), known


def _record(place: str, where: str) -> Binding | None:
    """A note, if it is whole, and of this label."""
    return _parsed(atomic.read_bytes(place), where)


def _parsed(text: bytes | None, where: str) -> Binding | None:
    try:
        value = json.loads(text or b"")
        disks_of = tuple(tuple(map(str, each)) for each in value["disks"])
        found = Binding(str(value["where"]), str(value["uuid"]), str(value["part"]), disks_of)
    except (ValueError, TypeError, KeyError):
        return None
    return found if found.where == where else None


def _write(place: str, noted: Binding) -> None:
    atomic.write(place, _text(noted), 0o600)


def _text(noted: Binding) -> str:
    return json.dumps(noted._asdict()) + "\n"


def _boot_place(base: System) -> str:
    return f"{base.state}/boot-binding"
