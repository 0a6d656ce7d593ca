"""The quick tick: tell for next to nothing that there is nothing to do, as at nearly every tick.

    lock → the note of the last whole tick → clock, host, disk, paths → ask the store → `last`

It knows no rule. A whole tick that had nothing to do notes what that followed from
(`client.tick.quick_note`); while all of that is the same, there is nothing to do again. What is not
the same, or cannot be told, is for a whole tick, which goes on from here and uses what was found.
All that a quick tick changes is the 96 bytes of `last`.

The client archive's first lines run this module and `lifeline` before anything else of ALLiE. So
it imports only what costs the interpreter nothing: os instead of posix would add a tenth.

docs/internals/rules.md, "A quick tick knows no rule".
"""

import _signal  # type: ignore[import-not-found]
import fcntl
import gc
import posix
import select
import time

from allie.client.state.quick_files import STATE, checksum, overwrite, read, read_last, write_last
from allie.machine.files.stood import all_stand, has_room
from allie.machine.programs.lifeline import Lifeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import Collection, Mapping, Sequence
    from typing import Any, NoReturn

    from allie.client.state.quick_files import Seal

    Told = tuple[int, bytes, bytes]

STARTING = "ALLIE_STARTING"  # see cli.startup_mark
_BASE, _HOLDER = "/var/lib/allie", "/run/allie/holder"  # the running system's
_MUCH = 1 << 16  # bytes of an answer: a longer one is for a whole tick
_RENEWED = (  # what Python or our caller may ignore, and rsync should not
    _signal.SIGPIPE,
    _signal.SIGXFSZ,
    _signal.SIGINT,
    _signal.SIGTERM,
    _signal.SIGHUP,
    _signal.SIGQUIT,
)

tried: "set[str]" = set()  # the roots for which it was tried, once in a process
answers: "dict[tuple[str, ...], Told]" = {}  # by root and words: exit, output, errors
spared: "dict[str, Any]" = {}  # the note by which the parts have nothing to do, but a script has


def begin(client: str) -> None:
    """Where the archive begins: a tick of the running system, if it is a quick one; then we end.

    Else this returns, or raises OSError, and a whole tick is to follow. client: what tells this
    code from any other.
    """
    if posix.isatty(1) or posix.isatty(2):
        return  # somebody watches, and wants to be told
    posix.getcwd()  # where it is gone, rsync does not begin
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)  # else no child could be waited for
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    gc.disable()  # which would look through thousands of lstats, for nothing
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    environment = {_text(name): _text(value) for name, value in posix.environ.items()}
    lock = posix.open(_BASE, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _sign()
        if not tick("/", _BASE, client, environment, checksum):
            return
        if STARTING in environment:
            posix.unlink(environment[STARTING])
        posix._exit(0)
    finally:
        posix.close(lock)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _sign() -> None:
    """Say who has the lock, as `machine.files.lock` does; for its message alone."""
    note = b'{"pid": %d, "verb": "run-conf", "start": %d}' % (posix.getpid(), time.time())
    try:
        overwrite(_HOLDER, note)
    except OSError:
        pass


def tick(
    root: str, state: str, client: str, environment: "Mapping[str, str]", seal: "Seal"
) -> bool:
    """One tick of a system whose lock the caller has; False where a whole one is to follow.

    Then `answers` and `spared` have what was found. root: as in the note; state: its state
    directory; client: what tells this code from any other; environment: the caller's; seal: of this
    system's notes (`quick_seal`).
    """
    if root in tried:
        return False
    tried.add(root)
    began, clock = time.time(), time.monotonic()
    try:
        note, last = read(f"{state}/quick/note", seal)[0], read_last(state)
        if not last or not _applies(note, (root, client), last[0] + 1, environment):
            return False
        parts = [read(f"{state}/quick/{name}", seal) for name in note["parts"]]
        if [each[1] for each in parts] != list(note["parts"].values()):
            return False
        if not all(_is_at_rest(root, part, note["served"]) for part, _ in parts):
            return False
        scripts_rest = _scripts_rest(note, began)
        if not _has_nothing_new(note, state, environment):
            return False
        if not scripts_rest:
            spared.update(note, answered=time.time())
            return False
        write_last(state, (last[0] + 1, began, time.monotonic() - clock, time.time()))
        return True
    except (OSError, KeyError, TypeError, ValueError, EOFError):  # no note, or not one of ours
        return False


def _is_at_rest(root: str, part: "Mapping[str, Any]", served: "Collection[str]") -> bool:
    """Whether all that a part of a tick looked at stands as it did.

    served: kinds of file systems that somebody answers for; not even an lstat may cross one, since
    he may let us wait (`machine.mounts.user_mounts`).
    """
    prefix = "/" if root == "/" else root + "/"
    return not _crosses(prefix, part["paths"], served) and all_stand(
        prefix, part["paths"], part["stood"]
    )


def still_on(note: "Mapping[str, Any]") -> bool:
    """Whether what both parts follow from is still as in this note."""
    return all_stand("", *note["grounds"])


def host() -> "tuple[str, str]":
    """What a tick goes by of this host: its name, and its kind of machine."""
    names = posix.uname()
    return names.nodename, names.machine


def settings_of(environment: "Mapping[str, str]") -> "dict[str, str]":
    """What is set for ALLiE itself in an environment, but for the stub's mark."""
    ours = {name: value for name, value in environment.items() if name.startswith("ALLIE_")}
    ours.pop(STARTING, None)
    return ours


def _applies(
    note: "Mapping[str, Any]", of: "tuple[str, str]", number: int, environment: "Mapping[str, str]"
) -> bool:
    """Whether a note is this system's, and its grounds are as they were."""
    return (
        note["of"] == of
        and number < note["until"]
        and note["after"] <= time.time() < note["again"]
        and note["host"] == host()
        and note["settings"] == settings_of(environment)
        and all(posix.access(each[0], posix.W_OK) and has_room(*each) for each in note["room"])
        and still_on(note)
    )


def _scripts_rest(note: "Mapping[str, Any]", now: float) -> bool:
    """Whether none of the conf scripts is due; where the note does not say, one is."""
    return (
        now < note["before"]
        and all_stand("", *note["scripts"])
        and all_stand("", note["followed"][0], note["followed"][1], posix.stat)
    )


def _crosses(prefix: str, paths: "Sequence[str]", served: "Collection[str]") -> bool:
    """Whether one of the paths is a mount point that somebody answers for, or may be."""
    try:
        descriptor = posix.open("/proc/self/mountinfo", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False  # as user_mounts has it
    table = b""
    while piece := posix.read(descriptor, 1 << 16):
        table += piece
    posix.close(descriptor)
    kinds = [kind.encode() for kind in served if kind.encode() in table]
    if not kinds:
        return False
    points = [line.split()[4] for line in table.splitlines() if any(each in line for each in kinds)]
    ours = {(prefix + path).encode("utf-8", "surrogateescape") for path in paths}
    return any(b"\\" in point or point in ours for point in points)


def _has_nothing_new(
    note: "Mapping[str, Any]", state: str, environment: "Mapping[str, str]"
) -> bool:
    """Ask the store; its answers are kept for a whole tick."""
    env = dict(note["environment"])
    env.update((name, environment[name]) for name in note["passed"] if name in environment)
    where = state.replace("/proc/self/", f"/proc/{posix.getpid()}/", 1)
    for each in note["questions"]:
        told = _ask([word.replace(STATE, where) for word in each], env, note["patience"])
        answers[note["of"][:1] + each[1:]] = told
        if told[:2] != (0, b""):
            return False
    return True


def _ask(argv: "list[str]", env: "dict[str, str]", patience: int) -> "Told":
    """Run a program to its end. Raises OSError where it takes too long, or says too much."""
    out, out_end = posix.pipe2(posix.O_CLOEXEC)
    err, err_end = posix.pipe2(posix.O_CLOEXEC)
    lifeline = Lifeline()
    posix.set_inheritable(lifeline.theirs, True)
    before = _signal.signal(_signal.SIGALRM, _give_up)
    pid = 0
    try:
        _signal.alarm(patience)
        pid = posix.posix_spawn(
            argv[0],
            argv,
            env,
            file_actions=[
                (posix.POSIX_SPAWN_OPEN, 0, "/dev/null", posix.O_RDONLY, 0),
                (posix.POSIX_SPAWN_DUP2, out_end, 1),
                (posix.POSIX_SPAWN_DUP2, err_end, 2),
            ],
            setsid=True,
            setsigdef=_RENEWED,
            setsigmask=(),
        )
        lifeline.tie(pid)
        posix.close(out_end)
        posix.close(err_end)
        out_end = err_end = -1
        said = _said(out, err)
        status = posix.waitstatus_to_exitcode(posix.waitpid(pid, 0)[1])
        pid = 0
        errors = said[err] + _rest_of(err)
        if len(errors) > _MUCH:
            raise OSError("too much")
        return status, said[out], errors
    finally:
        _signal.alarm(0)
        lifeline.cut()  # which ends it, if it has not ended
        if pid:
            posix.waitpid(pid, 0)
        _signal.signal(_signal.SIGALRM, before)
        for each in (out, err, out_end, err_end):
            if each >= 0:
                posix.close(each)


def _rest_of(err: int) -> bytes:
    """What is left in a pipe that ssh, left at work, may keep open for ever."""
    posix.set_blocking(err, False)
    try:
        return posix.read(err, _MUCH)
    except BlockingIOError:
        return b""


def _said(out: int, err: int) -> "dict[int, bytes]":
    """What comes until `out` ends."""
    said = {out: b"", err: b""}
    waiting = select.poll()
    for each in said:
        waiting.register(each, select.POLLIN)
    while True:
        for descriptor, _ in waiting.poll():
            piece = posix.read(descriptor, _MUCH)
            said[descriptor] += piece
            if descriptor == out and not piece:
                return said
            if not piece:
                waiting.unregister(descriptor)
            if len(said[descriptor]) > _MUCH:
                raise OSError("too much")


def _give_up(_number: int, _frame: object) -> "NoReturn":
    raise TimeoutError
