"""`allie enter`: find the system's root, and go on as a program in it, as the calling user.

It is what people start all day, from menus and scripts: so it loads nothing that it does not need,
reads what it wants of allie.conf by itself, and leaves no process of ours behind.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import sys

from allie.core import stubs
from allie.core.conf import system_roots
from allie.core.errors import SettingsError, StateError, did_you_mean
from allie.machine.namespaces import userland
from allie.machine.programs import exec_program

_ARCHIVE = "/usr/local/bin/allie"
_MORE_PATH = ("/run/allie/bin", f"{userland.HOST}/usr/local/bin")  # where the base's shims are
_FALLBACK = "/bin/sh"
_MOST = 256  # bytes of a name
# How the archive starts, with a loader and libraries that are not this system's own.
_COMMAND = f"""\
#!/bin/sh
exec {{program}} {stubs.START} {{archive}} "$@"
"""


def inside() -> str:
    """The name of the system that we are inside of; "" on the base."""
    return _read(userland.MARK)


def root_of(name: str) -> str:
    """Where the system `name` stands, as seen from here.

    Raises SettingsError where allie.conf does not say, StateError where it is not there now.
    """
    base = userland.base()
    if _read(f"{base}/etc/allie/system").strip() == name:
        return base or "/"
    text = _read(f"{base}/etc/allie/allie.conf")
    roots = system_roots.roots(text)
    where = roots.get(name, "")
    if not where:
        known = [each for each, root in roots.items() if root]
        message = f"allie.conf names no system {name!r} that can be entered"
        hint = f"those with a root: {', '.join(known) or 'none'}"
        raise SettingsError(message, did_you_mean(name, known) or hint)
    if where.startswith("/"):
        return _directory(base, where, f"root of [system {name}]")
    device = userland.follow(base, system_roots.device(where))
    bound = _bound_device(base, name)
    point = _mount_point(bound, base) if bound else ""
    if point:
        return point  # whatever else has the label, and udev's link
    point = _mount_point(device, base)
    if not point:
        if os.path.exists(device):
            raise StateError(f"system {name}: {where} is not mounted", "as root: mount it first")
        raise StateError(f"system {name}: there is no disk with {where}", "blkid lists them")
    _check_disk(base, name, device)
    return point


def name_of(root: str) -> str:
    """What the system in a directory calls itself; else the directory's name.

    Anybody may have made that system: what it calls itself by is a regular file, and one word.
    """
    word = _beginning(f"{root}/etc/allie/system").strip()
    is_name = word.isprintable() and " " not in word
    return (word if is_name else "") or os.path.basename(root) or "base"


def go(name: str, root: str, argv: list[str]) -> None:
    """Become `argv` in the system at `root`; without argv, the user's shell. Never returns.

    Raises AllieError.
    """
    env = _environment(name)
    try:
        directory = os.getcwd()
    except OSError:  # it was removed
        directory = "/"
    if name != inside():
        _check(root)
        if os.geteuid() == 0:
            _complete(root)
        base = userland.base()
        home = env.get("HOME", "")
        userland.leave_for(root, name, _command(base), _own_names(base), home)
    exec_program.become(argv or [_shell(env)], env, (directory, env.get("HOME", "/"), "/"))


def _check(root: str) -> None:
    barred = exec_program.barred_way(f"{root}/usr")
    if barred:
        raise StateError(f"{root}: {barred}", "as root: chmod a+x, if users are to enter it")
    for each in ("usr", "etc"):
        if not os.path.isdir(f"{root}/{each}") or os.path.islink(f"{root}/{each}"):
            raise StateError(f"{root} holds no system that you can enter: no /{each} in it")
    if os.path.lexists(f"{root}/{system_roots.NOTE}"):
        raise StateError(f"{root} is not whole yet: it is still being fetched", "try again later")


def _complete(root: str) -> None:
    """Make what is mounted over for root, and old or bare systems do not have."""
    if os.path.isdir(f"{root}/run") and os.path.lexists(f"{root}/etc/resolv.conf"):
        return
    from allie.machine.namespaces import sealed_run  # noqa: PLC0415 - hardly any system lacks them
    from allie.machine.roots import within  # noqa: PLC0415 - hardly any system lacks them

    if not os.path.lexists(f"{root}/run"):
        try:
            within.make_directories(root, "run")
        except OSError as error:
            message = f"{root} has no /run, and none can be made: {error.strerror}"
            raise StateError(message, "make that directory") from error
    sealed_run.resolv_conf(root)


def _bound_device(base: str, name: str) -> str:
    """The device that a tick has found to be a system's own; "" if none is, or it is gone."""
    from allie.machine.disk import physical  # noqa: PLC0415 - only a system on a partition needs it

    word = _read(f"{base}/run/allie/bound/{name}").strip()
    number = word.partition(" ")[0]
    if not number or physical.appearance(number) != word:
        return ""
    return f"{base}/dev/{os.path.basename(os.path.realpath(f'/sys/dev/block/{number}'))}"


def _check_disk(base: str, name: str, device: str) -> None:
    """Raise StateError where a disk may be anybody's: a desktop mounts whatever is plugged in."""
    from allie.machine.disk import physical  # noqa: PLC0415 - only a system on a partition needs it

    node = os.stat(device).st_rdev
    number = f"{os.major(node)}:{os.minor(node)}"
    if _read(f"{base}/run/allie/bound/{name}").strip() == physical.appearance(number):
        return
    own = {each.name for each in physical.of_root(point=base or "/")}
    disks = physical.under(number)
    strange = [each.why for each in disks if each.why and each.name not in own]
    if strange or not disks:
        what = strange[0] if strange else "an unknown disk"
        words = f"system {name}: not bound: {device} is on {what}"
        raise StateError(words, f"as root, if it is to be: allie system add {name} --trust")


def _directory(base: str, path: str, what: str) -> str:
    real = os.path.realpath(base + path)
    if base and not real.startswith(f"{base}/"):  # an absolute link of the base's
        real = base + real
    if not os.path.isdir(real):
        barred = exec_program.barred_way(real)
        raise StateError(f"{path} ({what}): {barred or 'there is no such directory'}")
    return real


def _mount_point(device: str, base: str) -> str:
    """Where a disk is mounted, below the base; "" if nowhere."""
    try:
        number = os.stat(device).st_rdev
    except OSError:
        return ""
    from allie.machine.mounts import mount_table  # noqa: PLC0415 - only a system on a partition

    wanted = f"{os.major(number)}:{os.minor(number)}"
    found = [
        (len(each.root), len(each.point), each.point)
        for each in mount_table.parse(_read("/proc/self/mountinfo"))
        if mount_table.is_within(each.point, base)
        # btrfs has numbers of its own
        and (each.device == wanted or (each.source[:5] == "/dev/" and base + each.source == device))
    ]
    return min(found)[2] if found else ""


def _shell(env: dict[str, str]) -> str:
    shell = env.get("SHELL", "")
    return shell if shell.startswith("/") and os.access(shell, os.X_OK) else _FALLBACK


def _environment(name: str) -> dict[str, str]:
    """What we were given, the system's name, and the ways to other systems last in PATH."""
    env = dict(os.environ)
    if "LC_CTYPE=" not in _read("/proc/self/environ"):
        env.pop("LC_CTYPE", None)  # Python's own doing
    path = env.get("PATH", os.defpath).split(":")
    env["PATH"] = ":".join(path + [each for each in _MORE_PATH if each not in path])
    env["ALLIE_SYSTEM"] = name
    if os.geteuid() == 0:  # what packages do when they are installed is not for the base's systemd
        env["ALLIE_OFFLINE"] = env["SYSTEMD_OFFLINE"] = "1"
    return env


def _own_names(base: str) -> dict[str, str]:
    """passwd and group with our own line, where it comes from another service (LDAP, SSSD)."""
    own = {}
    for name, number, find in (
        ("passwd", os.geteuid(), pwd.getpwuid),
        ("group", os.getegid(), grp.getgrgid),
    ):
        text = _read(f"{base}/etc/{name}")
        if any(f":{number}:" in line and _number(line) == number for line in text.splitlines()):
            continue
        try:
            fields = list(find(number))
        except KeyError:  # a number without a name
            continue
        fields[1] = "x"
        line = ":".join(",".join(each) if isinstance(each, list) else str(each) for each in fields)
        own[name] = f"{text}{line}\n"
    return own


def _number(line: str) -> int:
    field = [*line.split(":"), "", "", ""][2]
    return int(field) if field.isdigit() else -1


def _command(base: str) -> str:
    """A script that starts the base's client by the base's Python; "" where that cannot be.

    The system inside may have no Python. The base's works with the base's own loader and
    libraries, which are those that this very process has in use.
    """
    archive = base + _ARCHIVE
    mapped = {line.split(maxsplit=5)[-1] for line in _read("/proc/self/maps").splitlines()}
    libraries = {_below_host(path) for path in mapped if path.startswith("/") and ".so" in path}
    loaders = sorted(path for path in libraries if os.path.basename(path).startswith("ld-"))
    folders = sorted({os.path.dirname(path) for path in libraries})
    program = _below_host(os.path.realpath(sys.executable))
    if loaders:
        program = f"{loaders[0]} --library-path {':'.join(folders)} {program}"
    if not os.path.isfile(archive) or any(each in program for each in "'\"$\\`;&\n"):
        return ""
    return _COMMAND.format(program=program, archive=_below_host(archive))


def _below_host(path: str) -> str:
    return path if path.startswith(f"{userland.HOST}/") else userland.HOST + path


def _beginning(path: str) -> str:
    """The beginning of a regular file, whose end it may be hard to come to; "" of what is none."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # opening a device may move a tape
            return ""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, _MOST).decode(errors="surrogateescape") if is_file else ""
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return ""
