"""Put this process into another system's userland, on this kernel: the hands of `allie enter`.

The process gets a mount namespace of its own, in which the other system's files stand at their
places, and the base's homes, devices and services with them; a user also gets a user namespace,
without which the kernel lets nobody mount. Then the process goes on as the wanted program: signals,
terminal and exit status are that program's own, and no mount outlives its last process.

    /           for a user: a tree of the system's /usr /etc … and the base's /home /dev /tmp …
                for root: the system's own root
    /run/host   the base, whole: the way from one system into another
    /run/allie  MARK, the system's name; COMMAND, an `allie` that works in every system

It is for use, and no prison. It loads nothing that takes time.
"""

from __future__ import annotations

import os

from allie.core.errors import StateError
from allie.machine import libc
from allie.machine.mounts import mount_call
from allie.machine.mounts.mount_call import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT, SLAVE

HOST = "/run/host"
MARK = "/run/allie/inside"
COMMAND = "/run/allie/bin/allie"

_NO_NEW_PRIVS = 38  # linux/prctl.h

# Right below / these are the system's, and whatever the base does not have. The rest is the base's.
_OF_SYSTEM = ("bin", "boot", "etc", "lib", "opt", "root", "sbin", "usr", "var")
_LIBRARIES = ("lib32", "lib64", "libx32", "libo32", "libn32")
_OF_BASE_FOR_ROOT = ("dev", "home", "proc", "sys", "tmp")
# Of the base's /etc a user takes these along; of its /var, these directories, if both have them.
_TAKEN_ALONG = ("group", "hosts", "localtime", "machine-id", "passwd", "resolv.conf", "timezone")
_SHARED = ("/var/tmp", "/var/lib/sss/mc", "/var/lib/sss/pipes")
_MOST_LINKS = 16


def base() -> str:
    """Where the base's tree is seen: "" on the base itself, HOST inside a system."""
    return HOST if os.path.exists(MARK) else ""


def leave_for(root: str, name: str, command: str, own: dict[str, str], home: str) -> None:
    """Have this process see the system `name`, which stands at `root`, as its `/`.

    command: the text of COMMAND; own: whole files of /etc that a user sees instead of the base's;
    home: the user's, wherever the base has it.
    Raises StateError where the kernel does not allow it.
    """
    above, is_root = base(), os.geteuid() == 0
    mount_call.have_own_mounts(is_root)
    umask = os.umask(0o022)  # what is made here others may use, too; the program has its caller's
    try:
        _move(root, above, is_root)
        _write(MARK, name)
        if command:
            _write(COMMAND, command, 0o755)
        if is_root:
            _cover("/etc/resolv.conf", follow(HOST, "/etc/resolv.conf"), RDONLY)
            return
        _furnish_run()
        _furnish_etc(own)
        _furnish_var(bool(command))
        for path in (follow(HOST, home)[len(HOST) :], home):  # programs ask for the real one, too
            _furnish_home(path)
        for point in ("/run", "/"):
            _mount("none", point, "", BIND | REMOUNT | RDONLY | NOSUID | NODEV)
        # Programs that would change who we are have no power here; so they are told, once.
        libc.call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    except OSError as error:
        raise StateError(f"cannot enter {root}: {error.strerror}: {error.filename}") from error
    finally:
        os.umask(umask)


def follow(top: str, path: str) -> str:
    """Where a path of the tree at `top` leads, as for a process whose / that is."""
    pending, real, links = path.split("/")[::-1], "", 0
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            real = real.rpartition("/")[0]
            continue
        try:
            link = os.readlink(f"{top}{real}/{name}")
        except OSError:
            real = f"{real}/{name}"
            continue
        links += 1
        if links > _MOST_LINKS:
            return top + path
        real = "" if link.startswith("/") else real
        pending += link.split("/")[::-1]
    return top + real


def _move(root: str, above: str, is_root: bool) -> None:
    """Make the new tree beside the old one, and step over into it."""
    _mount("none", "/", "", REC | SLAVE)  # disks that the base mounts later are seen, too
    _mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    mount_call.pivot("/tmp", "old")
    source = "/old" + root
    if is_root:
        _mount(source, "/new", "", BIND | REC)
        _let_programs_be_setuid("/new")
        for name in _OF_BASE_FOR_ROOT:
            if os.path.isdir(f"/new/{name}") and not os.path.islink(f"/new/{name}"):
                _mount(follow(f"/old{above}", f"/{name}"), f"/new/{name}", "", BIND | REC)
    else:
        _mount("tmpfs", "/new", "tmpfs", NOSUID | NODEV, "mode=755")
        _compose(source, f"/old{above}")
    if os.path.islink("/new/run") or not os.path.isdir("/new/run"):
        # A link would lead the mount elsewhere, perhaps out of the system
        raise StateError(f"cannot enter {root}: its /run is no directory", "make it one")
    _mount("tmpfs", "/new/run", "tmpfs", NOSUID | NODEV, "mode=755")
    os.mkdir(f"/new{HOST}")
    _mount(f"/old{above}", f"/new{HOST}", "", BIND | REC)
    mount_call.pivot("/new")


def _let_programs_be_setuid(at: str) -> None:
    """For root, and those whom he becomes in here: su, sudo and the like, in this view alone.

    On the base the system is nosuid for everybody; the other options stay as they are.
    """
    flags = os.statvfs(at).f_flag
    if flags & NOSUID:
        _mount("none", at, "", BIND | REMOUNT | flags & (RDONLY | NODEV | NOEXEC))


def _compose(system: str, host: str) -> None:
    """The directories right below /: the system's own, and the base's."""
    os.mkdir("/new/run")
    theirs = {name for name in os.listdir(host) if not _is_of_system(name)}
    for name in os.listdir(system):
        if name in theirs or name == "run":
            continue
        path = f"{system}/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path), f"/new/{name}")
        elif os.path.isdir(path):
            os.mkdir(f"/new/{name}")
            _mount(path, f"/new/{name}", "", BIND | REC)
    for name in theirs - {"run", "lost+found"}:
        path = follow(host, f"/{name}")  # /home may be a link, to var/home
        if os.path.isdir(path):
            os.mkdir(f"/new/{name}")
            _try_mount(path, f"/new/{name}")


def _is_of_system(name: str) -> bool:
    return name in _OF_SYSTEM or name in _LIBRARIES


def _furnish_run() -> None:
    """The base's services: the user's own, D-Bus, printing, name services, sound."""
    for entry in os.scandir(f"{HOST}/run"):
        at = f"/run/{entry.name}"
        if not os.path.lexists(at):
            _show(entry, at)


def _furnish_etc(own: dict[str, str]) -> None:
    """The base's names of users, hosts and time zone."""
    sources = {}
    for name in _TAKEN_ALONG:
        source = follow(HOST, f"/etc/{name}")
        if name in own:
            source = f"/run/allie/{name}"
            _write(source, own[name])
        if os.path.isfile(source):
            sources[f"/etc/{name}"] = source
    lacking = [at for at in sources if not os.path.lexists(at)]
    if lacking:  # what to cover must be there: an empty file of that name, in a layer above /etc
        for at in lacking:
            _write(f"/run/allie{at}", "")
        _try_mount("overlay", "/etc", "overlay", NOSUID | NODEV, "lowerdir=/run/allie/etc:/etc")
    for at, source in sources.items():
        _cover(at, source, RDONLY if source.startswith("/run/allie/") else 0)


def _furnish_var(has_command: bool) -> None:
    for at in _SHARED:
        if os.path.isdir(at) and os.path.isdir(HOST + at):
            _try_mount(HOST + at, at)
    if not os.path.islink("/var/run") and os.path.isdir("/var/run"):  # systems of before 2012
        _try_mount("/run", "/var/run")
    if has_command:
        _cover("/usr/local/bin/allie", COMMAND, RDONLY)


def _furnish_home(home: str) -> None:
    """The user's home, where it is in a directory that is the system's: /var/home, /opt/joe.

    The system's directory above it is laid out anew where that has no place for it. What the system
    has of that name gives way only to a directory of the user's own: /usr is many a service's home.
    """
    source = follow(HOST, home)
    if not home.startswith("/") or not os.path.isdir(source) or _is_same(source, home):
        return
    at, missing = "", [name for name in home.split("/") if name]
    while missing and os.path.isdir(f"{at}/{missing[0]}"):
        at += f"/{missing.pop(0)}"
    if missing and (not at or os.path.lexists(f"{at}/{missing[0]}")):
        return
    if missing:
        _lay_out(at, missing[0])
        at += f"/{missing[0]}"
    elif os.stat(source).st_uid != os.geteuid():
        return
    _try_mount(follow(HOST, at), at)


def _is_same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _lay_out(at: str, more: str) -> None:
    """Have a directory of the system hold what it holds, and one more directory, for this view."""
    before = os.open(at, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _mount("tmpfs", at, "tmpfs", NOSUID | NODEV, "mode=755")
        for entry in os.scandir(f"/proc/self/fd/{before}"):
            _show(entry, f"{at}/{entry.name}")
    finally:
        os.close(before)
    os.mkdir(f"{at}/{more}")
    _mount("none", at, "", BIND | REMOUNT | RDONLY | NOSUID | NODEV)


def _show(entry: os.DirEntry[str], at: str) -> None:
    """Have what stands in one place stand in another, too, which is ours and free."""
    if entry.is_symlink():
        os.symlink(os.readlink(entry.path), at)
        return
    if entry.is_dir():
        os.mkdir(at)
    else:
        _write(at, "")
    _try_mount(entry.path, at)


def _cover(at: str, source: str, flags: int = 0) -> None:
    """Put a file over another, also over a link, which is not followed. Not if it is missing."""
    try:
        descriptor = os.open(at, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    if _try_mount(source, f"/proc/self/fd/{descriptor}") and flags:
        _mount("none", at, "", BIND | REMOUNT | flags)
    os.close(descriptor)


def _write(path: str, text: str, mode: int = 0o644) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    os.write(descriptor, text.encode(errors="surrogateescape"))
    os.close(descriptor)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    if not _try_mount(source, target, kind, flags, data):
        at = target if source == "none" else source
        raise OSError(libc.last_errno(), libc.last_error(), at)


def _try_mount(
    source: str, target: str, kind: str = "", flags: int = BIND | REC, data: str = ""
) -> bool:
    return mount_call.mount(source, target, kind, flags, data)
