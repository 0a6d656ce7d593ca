"""Put this process into another system's userland, on this kernel: the hands of `allie enter`.

The process gets a mount namespace of its own, in which the other system's files stand at their
places, and the base's homes, devices and services with them; a user also gets a user namespace,
without which the kernel lets nobody mount. Then the process goes on as the wanted program: signals,
terminal and exit status are that program's own, and no mount outlives its last process.

    /           for a user: a tree of the system's /usr /etc … and the base's /home /dev /tmp …
                for root: the system's own root
    /run/host   the base, whole: the way from one system into another
    /run/allie  MARK, the system's name; COMMAND, an `allie` that works in every system

It is for use, and no prison. Beside os and sys it loads ctypes, and nothing else that takes time.
"""

from __future__ import annotations

import ctypes
import os

from allie.core.errors import ProgramNotFound, ProgramNotRun, StateError
from allie.machine import mounting
from allie.machine.mounting import BIND, NODEV, NOEXEC, NOSUID, RDONLY, REC, REMOUNT, SLAVE

HOST = "/run/host"
MARK = "/run/allie/inside"
COMMAND = "/run/allie/bin/allie"

# linux/sched.h, linux/prctl.h
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_NO_NEW_PRIVS = 38
_IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE, SIGXFSZ

# Right below / these are the system's, and whatever the base does not have. The rest is the base's.
_OF_SYSTEM = ("bin", "boot", "etc", "lib", "opt", "root", "sbin", "usr", "var")
_OF_BASE_FOR_ROOT = ("dev", "home", "proc", "sys", "tmp")
# Of the base's /etc a user takes these along; of its /var, these directories, if both have them.
_TAKEN_ALONG = ("group", "hosts", "localtime", "machine-id", "passwd", "resolv.conf", "timezone")
_SHARED = ("/var/tmp", "/var/lib/sss/mc", "/var/lib/sss/pipes")
_MOST_LINKS = 16

_libc = ctypes.CDLL(None, use_errno=True)


def base() -> str:
    """Where the base's tree is seen: "" on the base itself, HOST inside a system."""
    return HOST if os.path.exists(MARK) else ""


def leave_for(root: str, name: str, command: str, own: dict[str, str]) -> None:
    """Have this process see the system `name`, which stands at `root`, as its `/`.

    command: the text of COMMAND; own: whole files of /etc that a user sees instead of the base's.
    Raises StateError where the kernel does not allow it.
    """
    above, is_root = base(), os.geteuid() == 0
    _make_namespaces(is_root)
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
        for point in ("/run", "/"):
            _mount("none", point, "", BIND | REMOUNT | RDONLY | NOSUID | NODEV)
        # Programs that would change who we are have no power here; so they are told, once.
        _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    except OSError as error:
        raise StateError(f"cannot enter {root}: {error.strerror}: {error.filename}") from error
    finally:
        os.umask(umask)


def become(argv: list[str], env: dict[str, str], places: tuple[str, ...]) -> None:
    """Go on as this program, in the first of these directories that is there. Never returns.

    Raises ProgramNotFound or ProgramNotRun.
    """
    for place in places:
        try:
            os.chdir(place)
            break
        except OSError:
            continue
    for number in _IGNORED_BY_PYTHON:
        _libc.signal(number, None)
    path = "" if "/" in argv[0] else env.get("PATH", os.defpath)
    refused: OSError | None = None
    for folder in path.split(":"):  # not execvpe, which would import a module that is away now
        try:
            os.execve(os.path.join(folder, argv[0]), argv, env)
        except OSError as error:
            if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                refused = refused or (error if os.path.exists(error.filename) else None)
    if refused:
        raise ProgramNotRun(f"{refused.filename}: {refused.strerror}")
    raise ProgramNotFound(f"{argv[0]}: there is no such program in here")


def follow(top: str, path: str) -> str:
    """Where a path of the tree at `top` leads, if it is itself a link: absolute ones stay in it."""
    for _ in range(_MOST_LINKS):
        try:
            link = os.readlink(top + path)
        except OSError:
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), link))
    return top + path


def _make_namespaces(is_root: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWNS if is_root else _NEWNS | _NEWUSER) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise StateError(f"the kernel does not let us make namespaces: {reason}", _why(is_root))
    if is_root:
        return
    try:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "wb") as file:
                file.write(text.encode())
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"the kernel gives users no rights in namespaces: {reason}"
        raise StateError(message, _why(False)) from error


def _why(is_root: bool) -> str:
    """What an administrator can do where namespaces are refused."""
    if is_root:
        return "a container without CAP_SYS_ADMIN cannot enter a system"
    for name, value in (
        ("kernel/apparmor_restrict_unprivileged_userns", "0"),
        ("kernel/unprivileged_userns_clone", "1"),
        ("user/max_user_namespaces", "10000"),
    ):
        try:
            with open(f"/proc/sys/{name}", "rb") as file:
                now = file.read().decode().strip()
        except OSError:
            continue
        if now != value and "0" in (now, value):
            return f"as root: sysctl {name.replace('/', '.')}={value}"
    return "a chroot or a container may forbid it, too"


def _move(root: str, above: str, is_root: bool) -> None:
    """Make the new tree beside the old one, and step over into it."""
    _mount("none", "/", "", REC | SLAVE)  # disks that the base mounts later are seen, too
    _mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV, "mode=755")
    os.mkdir("/tmp/old")
    os.mkdir("/tmp/new")
    _pivot("/tmp", "/tmp/old")
    source = "/old" + root
    if is_root:
        _mount(source, "/new", "", BIND | REC)
        _let_programs_be_setuid("/new")
        for name in _OF_BASE_FOR_ROOT:
            if os.path.isdir(f"/new/{name}") and not os.path.islink(f"/new/{name}"):
                _mount(f"/old{above}/{name}", f"/new/{name}", "", BIND | REC)
    else:
        _mount("tmpfs", "/new", "tmpfs", NOSUID | NODEV, "mode=755")
        _compose(source, f"/old{above}")
    if os.path.islink("/new/run"):  # it would lead the mount elsewhere, perhaps out of the system
        raise StateError(f"cannot enter {root}: its /run is a symlink", "make it a directory")
    _mount("tmpfs", "/new/run", "tmpfs", NOSUID | NODEV, "mode=755")
    os.mkdir(f"/new{HOST}")
    _mount(f"/old{above}", f"/new{HOST}", "", BIND | REC)
    os.chdir("/new")
    _pivot(".", ".")
    if not mounting.unmount("."):
        _fail("the old /")
    os.chdir("/")


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
    return name in _OF_SYSTEM or name.startswith("lib")


def _furnish_run() -> None:
    """The base's services: the user's own, D-Bus, printing, name services, sound."""
    for entry in os.scandir(f"{HOST}/run"):
        at = f"/run/{entry.name}"
        if os.path.lexists(at):
            continue
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), at)
        elif entry.is_dir():
            os.mkdir(at)
            _try_mount(entry.path, at)
        else:
            _write(at, "")
            _try_mount(entry.path, at)


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
        _fail(target if source == "none" else source)


def _try_mount(
    source: str, target: str, kind: str = "", flags: int = BIND | REC, data: str = ""
) -> bool:
    return mounting.mount(source, target, kind, flags, data)


def _pivot(new: str, old: str) -> None:
    if _libc.pivot_root(new.encode(), old.encode()) != 0:
        _fail("/ (in a chroot?)")
    if new != ".":
        os.chdir("/")


def _fail(path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)
