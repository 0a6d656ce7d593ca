"""Every error that ALLiE raises on purpose, and its exit status: that of sysexits.h or of a shell.

Libraries raise; only `cli.main` prints and exits.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _collections_abc import Iterable

DONE = 0
ATTENTION = 1  # done, but something needs a look: a script fails, a path was refused
FAILED = 2  # nothing more can be done in this run
USAGE = 64  # EX_USAGE
FAULT = 70  # EX_SOFTWARE: a fault of ALLiE's own, in a child of the tick
TEMPFAIL = 75  # EX_TEMPFAIL: the same may go well later
PROTECTED = "if it is immutable or append-only, or its directory: chattr -i -a"
# Paths by open descriptors that are in use, and the names that messages have in their place
SPOKEN: dict[str, str] = {}


def spoken(text: str) -> str:
    """A text for people: the file's own name where it says `/proc/self/fd/7/ledger`."""
    for path, name in SPOKEN.items() if "/proc/self/fd/" in text else ():
        text = f"{text} ".replace(f"{path}/", f"{name}/").replace(f"{path} ", f"{name} ")[:-1]
        text = text.replace(f"{path}:", f"{name}:")
    return text


def words_of(error: Exception) -> str:
    """What went wrong, without the number and the path that an OSError has."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean NAME?` for what was misspelt, by the nearest of the known ones; or ""."""
    most = 1 if len(word) < 5 else 2
    swapped = sorted(word)
    found = [(_distance(word, each), each) for each in known]
    near = [
        (0 if sorted(each) == swapped else far, each)
        for far, each in found
        if far <= most or sorted(each) == swapped or (len(word) > 1 and each.startswith(word))
    ]
    return f"did you mean {min(near)[1]}?" if near else ""


def _distance(word: str, other: str) -> int:
    """How many letters have to be changed, added or taken out (Levenshtein's)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(word, 1):
        above, row = row, [number]
        for at, each in enumerate(other):
            row.append(min(row[-1] + 1, above[at + 1] + 1, above[at] + (letter != each)))
    return row[-1]


class AllieError(Exception):
    """What went wrong, to which path or host, and (hint) what to do about it."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = spoken(message)
        self.hint = spoken(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(AllieError):
    """The command line is wrong."""

    exit_code = USAGE


class SettingsError(AllieError):
    """allie.conf, classes or /etc/allie/system cannot be used."""


class StoreError(AllieError):
    """The store answered, but what it has cannot be taken; the present generation stands."""


class Unreachable(StoreError):
    """The store did not answer; not a failure of the tick."""


class NotAdmitted(StoreError):
    """A store's ssh door does not know this host's key: it is not enrolled, or no more."""


class PathRefused(AllieError):
    """One path that ALLiE will not touch, with the reason; every other path goes on."""


class StateError(AllieError):
    """This PC's own disk or state stopped us; nothing was begun, or it can be gone on with."""


class TooLarge(StateError):
    """A file is larger than any that ALLiE writes or reads there."""


class NoRoom(StateError):
    """A disk of this PC takes no more."""


class DiskFull(NoRoom):
    """The disk took no more of an image; so many bytes and inodes were free when it began."""

    def __init__(self, error: NoRoom, image: str, free: int, free_names: int) -> None:
        super().__init__(error.message, error.hint)
        self.image, self.free, self.free_names = image, free, free_names


class NotWritten(StateError):
    """All of a transfer came, but for paths that could not be changed here: immutable ones, say."""


class Busy(AllieError):
    """ALLiE is at work in this system already: a tick, an undo, an update."""

    exit_code = TEMPFAIL


class ProgramNotRun(AllieError):
    """The program that this process was to become is there, and cannot be run."""

    exit_code = 126


class ProgramNotFound(AllieError):
    """The program that this process was to become is not there."""

    exit_code = 127
