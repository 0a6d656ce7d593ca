"""Keep privileged programs of other systems out of everybody's reach.

An image has setuid programs and device files. In a system that lives in a directory they would work
for every user of the base, by their path: programs with known holes, which were mended in the base
long ago, and those of the tree before an update, too. So the directory of the systems (/systems) is
bound onto itself with nosuid and nodev: when a system is added, at each tick, and at boot before
anybody logs in. (Nobody may be kept from the directory itself: users enter systems.)

The directory must be ALLiE's own, since those options hold for all that is in it. Where a system is
a mount of its own, it is that mount which gets the options.
"""

from __future__ import annotations

import os
import stat
from _collections_abc import Iterator
from contextlib import contextmanager

from allie.client.situation import other_systems
from allie.core import stubs
from allie.core.conf.settings import Declared
from allie.core.errors import Busy, StateError
from allie.core.system import System
from allie.machine.files import atomic, lock
from allie.machine.mounts import mount_call, mount_table
from allie.machine.mounts.mount_call import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REMOUNT
from allie.machine.mounts.without_user_mounts import apart
from allie.machine.roots import paths

_STANDARD = (  # file-hierarchy(7): others put things there, perhaps later
    "bin boot dev etc home lib lib32 lib64 libx32 media mnt opt proc root run sbin srv sys tmp usr"
    " usr/local usr/share var var/cache var/lib var/local var/log var/opt var/spool var/tmp"
).split()
_BESIDE = ("part", "other", "away", "gone")
_PLAIN = "/._+@:-"  # beside letters and digits, what is special to neither systemd nor a shell
_OPTIONS = NOSUID | NODEV
_PATIENCE = 60.0  # seconds; what another one does takes a fraction of one
_UNIT = """\
# Written by ALLiE: see "Who may do what" in its reference of systems.
[Unit]
Description=Give programs of other systems no privileges: {place}
DefaultDependencies=no
RequiresMountsFor={place}
{condition}={place}
After=local-fs.target
Before=sysinit.target systemd-user-sessions.service

[Service]
Type=oneshot
RemainAfterExit=yes{bind}
ExecStart=/bin/mount -o remount,bind,nosuid,nodev {place}
"""
_OPENRC = """\
#!/sbin/openrc-run
# Written by ALLiE: see "Who may do what" in its reference of systems.
description="Give programs of other systems no privileges"

depend() {{
	need localmount
}}

start() {{
	{bind}mount -o remount,bind,nosuid,nodev {place}
}}
"""


def put_up(base: System, declared: Declared, root: str) -> None:
    """Have a system's programs without privileges for others, now and from the next boot on.

    Raises StateError where that cannot be; a system that is new is then not brought.
    """
    if declared.is_partition:  # mounted for root alone, and for the moment
        return
    with _one_at_a_time(base):
        place = root if root in mount_table.points() else os.path.dirname(root)
        if place != root:
            _make(base, place)
        if os.statvfs(place).f_flag & _OPTIONS != _OPTIONS:
            if place != root:
                _must_be_ours(base, place, declared)
            _give_options(base, place)
        if place in mount_table.points():
            _at_boot(base, place)


@contextmanager
def _one_at_a_time(base: System) -> Iterator[None]:
    """Several systems may be fetched at once; the lock is in a place that is for root alone."""
    try:
        os.makedirs(base.systems, 0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"cannot use {base.systems}: {error.strerror}") from error
    busy = Busy(f"{base.systems} has been locked for {_PATIENCE:.0f} s", "try again")
    with lock.of_directory(base.systems, lambda: busy, patience=_PATIENCE):
        yield


def before(base: System, declared: Declared, root: str) -> None:
    """Before something is fetched there. What is there already is not kept from its update.

    Raises StateError where a new one would live in a place that cannot be fenced.
    """
    try:
        put_up(base, declared, root)
    except (StateError, Busy, OSError):  # of which each tick says so
        if not os.path.isdir(root) or other_systems.is_empty(root):
            raise


def drop(base: System, declared: Declared, root: str) -> None:
    """After the last system of a directory has gone, its mount goes, too."""
    place = os.path.dirname(root)
    if declared.is_partition or not _is_ours(place) or set(os.listdir(place)) - {"lost+found"}:
        return
    mount_call.unmount(place)
    for path in _files(base, place):
        atomic.remove(path)


@contextmanager
def apart_from_users(declared: Declared, root: str) -> Iterator[None]:
    """Work on the trees of a system in a directory without meeting what is mounted in them."""
    if other_systems.in_place(declared, root):
        yield
        return
    with apart(os.path.dirname(root)):
        yield


def _give_options(base: System, place: str) -> None:
    """Mount a directory onto itself, if nothing is mounted there, and add the two options."""
    if place in mount_table.points() or mount_call.mount(place, place, "", BIND):
        others = os.statvfs(place).f_flag & (RDONLY | NOEXEC)
        if mount_call.mount("none", place, "", BIND | REMOUNT | _OPTIONS | others):
            return
    if base.is_base:
        raise StateError(
            f"{place} cannot be mounted nosuid,nodev: users would reach the setuid programs in it",
            f"mount --bind {place} {place}; mount -o remount,bind,nosuid,nodev {place}",
        )
    # With --root it is somebody's directory, and perhaps we are not root.


def _make(base: System, place: str) -> None:
    """Make the directory of the systems; all above it must be root's alone, below the base."""
    path = base.root.rstrip("/")
    for name in place[len(path) :].strip("/").split("/"):
        path = f"{path}/{name}"
        try:
            os.mkdir(path, 0o755)
            continue
        except FileExistsError:
            st = os.lstat(path)
        except OSError as error:
            raise StateError(f"cannot make {path}: {error.strerror}") from error
        if path == place and st.st_uid == 0 and st.st_mode & 0o022 and not _others(place):
            os.chmod(path, 0o755)  # it is ALLiE's own
        elif os.geteuid() == 0 and (st.st_uid != 0 or st.st_mode & 0o022):
            words = f"{path} is not root's alone: no system can live below it"
            raise StateError(words, "chown root and chmod go-w it, or choose another directory")


def _must_be_ours(base: System, place: str, declared: Declared) -> None:
    """Raise StateError where somebody else's things would lose setuid programs and devices."""
    below = _below(base, place)
    others = _others(place)
    if others:
        why = f"it holds {others[0]}"
    elif below.strip("/") in ("", *_STANDARD):
        why = "others put programs there"
    elif not all(each.isalnum() or each in _PLAIN for each in below):
        why = "its name has special characters"
    else:
        return
    words = f"{place} cannot be mounted nosuid,nodev for the system {declared.name}: {why}"
    raise StateError(words, f"let it live in a directory of its own: /systems/{declared.name}")


def _others(place: str) -> list[str]:
    """What there is beside systems, and the trees that belong to them."""
    return [each for each in sorted(os.listdir(place)) if not _belongs(place, each)]


def _belongs(place: str, name: str) -> bool:
    """Whether it is a system, or is to become one, or a tree beside one; none of a user's."""
    path = f"{place}/{name}"
    st = os.lstat(path)
    if name == "lost+found":
        return True
    if not stat.S_ISDIR(st.st_mode) or (os.geteuid() == 0 and st.st_uid != 0):
        return False
    which = name.rpartition(".")[2] if name.startswith(".") else ""
    if which in _BESIDE or which.startswith(("old-", "stuck-")):
        return True
    return bool(
        other_systems.note_of(path) or other_systems.is_empty(path) or other_systems.name_in(path)
    )


def _is_ours(place: str) -> bool:
    """Whether it is mounted onto itself: what is mounted there is that very directory."""
    table = mount_table.parse(mount_table.read())
    own = [(each.device, each.root) for each in table if each.point == place]
    others = [each for each in table if each.point != place]
    return own[-1:] == [mount_table.in_file_system(place, others)]


def _at_boot(base: System, place: str) -> None:
    """Have it mounted so before anybody can log in; it is written once."""
    unit, link, script, level = _files(base, place)
    below = _below(base, place)
    binds = _is_ours(place)
    if os.path.isdir(os.path.dirname(unit)):
        condition = "ConditionPathIsDirectory" if binds else "ConditionPathIsMountPoint"
        bind = f"\nExecStart=/bin/mount --bind {below} {below}" * binds
        atomic.renew(unit, _UNIT.format(place=below, condition=condition, bind=bind), 0o644)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.lexists(link):
            os.symlink(f"/{stubs.UNITS}/{os.path.basename(unit)}", link)
    elif os.path.isdir(os.path.dirname(level)):
        bind = f"mount -o bind {below} {below} && " * binds
        atomic.renew(script, _OPENRC.format(place=below, bind=bind), 0o755)
        if not os.path.lexists(level):
            os.symlink(f"/etc/init.d/{os.path.basename(script)}", level)


def _files(base: System, place: str) -> tuple[str, str, str, str]:
    """What mounts it at boot: systemd's unit and the link to it, OpenRC's script and the link."""
    inside = paths.Inside(base.root)
    below = _below(base, place).strip("/")
    name = "allie-fence-" + "".join(each if each.isalnum() else "-" for each in below)
    units, etc = (inside.prefix + inside.directory(each).real for each in (stubs.UNITS, "etc"))
    return (
        f"{units}/{name}.service",
        f"{units}/sysinit.target.wants/{name}.service",
        f"{etc}/init.d/{name}",
        f"{etc}/runlevels/boot/{name}",
    )


def _below(base: System, place: str) -> str:
    """A directory as the base itself sees it."""
    return place[len(base.root.rstrip("/")) :]
