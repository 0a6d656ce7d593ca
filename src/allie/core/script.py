"""The rules of conf scripts: their names and headers, when one is due, what its exit means.

Pure: the clock and the files come in as values.

docs/internals/rules.md, "A done-file names what it satisfied".
"""

from __future__ import annotations

from allie.core import globs
from allie.core.errors import TEMPFAIL
from allie.core.lean import kept, re
from allie.core.value import Value

_LEFT = ("bak", "orig", "rej", "swp")  # how names end of what editors leave, and …
_LEFT_BY = ("dpkg-", "rpm")  # … of what packages do: dpkg-old, rpmsave
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SAID = b"allie:"
_DIGITS = 10  # of a number of units
_HEAD = 4096  # bytes at a script's start in which its headers are looked for
_LONGEST = 100 * 366 * 86400  # seconds: 100 years, far below what the kernel's clocks can hold
DEFAULT_TIMEOUT = 3600
# capabilities(7) by name, each at its number
POWERS = (
    "chown dac-override dac-read-search fowner fsetid kill setgid setuid setpcap linux-immutable"
    " net-bind-service net-broadcast net-admin net-raw ipc-lock ipc-owner sys-module sys-rawio"
    " sys-chroot sys-ptrace sys-pacct sys-admin sys-boot sys-nice sys-resource sys-time"
    " sys-tty-config mknod lease audit-write audit-control setfcap mac-override mac-admin syslog"
    " wake-alarm block-suspend audit-read perfmon bpf checkpoint-restore"
).split()
# A script may run this much before its time is up, as a share and in seconds at most: else one that
# is to run hourly would be passed over by an hourly tick that the timer starts a little early
_EARLY, _EARLIEST = 0.1, 600
FUTURE = 3600  # a done-file this far in the future means that the clock went back
LOOKS = {"satisfied": "good", "failing": "bad", "waiting": "warn", "due": "warn", "test": "dim"}


class Headers(Value):
    """What a script says of itself in `# allie:` comments."""

    every: int | None = None  # seconds; 0 at every tick; None once and for all
    on_change: tuple[str, ...] = ()  # patterns of absolute paths
    timeout: int | None = DEFAULT_TIMEOUT  # seconds; None for no limit
    needs: tuple[str, ...] = ()  # of POWERS, beyond the ordinary ones, in another root
    errors: tuple[str, ...] = ()


class Done(Value):
    """A regular file in /root/done, as far as it matters."""

    first_line: str
    mtime: float  # seconds since the epoch


class Due(Value):
    """Whether a script is to run now, and why or why not, in words."""

    due: bool
    why: str


class Verdict(Value):
    """How a script stands, whether or not it ran."""

    name: str
    state: str  # satisfied, waiting, failing, test or due
    why: str
    since: float = 0.0  # seconds since the epoch; when it came into this state
    code: int | None = None  # exit status of the last run; -N: ended by signal N
    seconds: float = 0.0
    last: str = ""  # the last lines of its output, if it failed


@kept(maxsize=1024)  # a tick asks again after each script
def is_name(name: str) -> bool:
    """Whether a file of /root/conf belongs to the sequence."""
    numbered = name[:2].isdigit() and len(name) > 1 and globs.is_word(name)
    return numbered and not _is_left(name.rpartition(".")[2] if "." in name else "")


def _is_left(end: str) -> bool:
    """Whether a name that ends so was left by an editor, or by a package."""
    kinds = [end[len(by) :] for by in _LEFT_BY if end.startswith(by)]
    return end in _LEFT or any(each.isalpha() and each.islower() for each in kinds)


def parse_headers(content: bytes) -> Headers:
    """Read `# allie: every|on-change|timeout|needs …` lines near a script's beginning."""
    return _headers(content[:_HEAD])


@kept(maxsize=256)  # both parts of a tick ask what waits for a path
def _headers(head: bytes) -> Headers:
    headers = Headers()
    for text in _header_lines(head).values():
        word, _, rest = text.partition(" ")
        headers = _with_header(headers, word, rest)
    return headers


def _header_lines(content: bytes) -> dict[int, str]:
    """What stands after `# allie:`, in plain words, by where its line begins."""
    found, at = {}, 0
    for line in content[:_HEAD].split(b"\n"):
        comment = line[1:].lstrip(b" \t")
        if line.startswith(b"#") and comment.startswith(_SAID):
            found[at] = " ".join(comment[len(_SAID) :].decode(errors="replace").split())
        at += len(line) + 1
    return found


def unread_headers(content: bytes, meant: re.Pattern[bytes]) -> list[str]:
    """Lines that `meant` matches, and that are no headers: misspelt, indented, too far below."""
    read = _header_lines(content)
    lines = (found for found in meant.finditer(content) if found.start() not in read)
    return [line.group().decode(errors="replace").strip() for line in lines]


def _with_header(headers: Headers, word: str, rest: str) -> Headers:
    span = parse_span(rest)
    if word == "every" and (span or rest == "tick"):
        return headers._replace(every=span or 0)
    if word == "on-change" and rest:
        good = tuple(each for each in rest.split() if _can_match(each))
        wrong = tuple(f"# allie: on-change {each}" for each in rest.split() if each not in good)
        on_change = headers.on_change + good
        return headers._replace(on_change=on_change, errors=headers.errors + wrong)
    if word == "needs" and rest and set(rest.split()) <= set(POWERS):
        return headers._replace(needs=headers.needs + tuple(rest.split()))
    if word == "timeout" and (span or rest == "none"):
        return headers._replace(timeout=span)
    return headers._replace(errors=(*headers.errors, f"# allie: {word} {rest}".rstrip()))


def _can_match(pattern: str) -> bool:
    """Whether a pattern of `on-change` can match a path: they are absolute, and end in a name."""
    plain = pattern.startswith("/") and not {"", ".", ".."} & set(pattern[1:].split("/"))
    return plain and not pattern.endswith((",", ";")) and globs.is_possible(pattern)


def parse_span(text: str) -> int | None:
    """`90`, `10m`, `2h`, `7d` or `1w` in seconds; None if it is nothing of the kind.

    More than 100 years is nothing of the kind.
    """
    unit = text[-1:] if text[-1:] in _UNITS else ""
    digits = text[: len(text) - len(unit)].rstrip()
    if not (digits.isascii() and digits.isdigit()) or len(digits.lstrip("0")) > _DIGITS:
        return None
    seconds = int(digits) * _UNITS[unit]
    return seconds if seconds <= _LONGEST else None


def due(headers: Headers, digest: str, done: Done | None, now: float) -> Due:
    """Whether a script with this content is due, given its file in /root/done.

    A done-file satisfies only with the script's own digest, or the word `done`, as its first
    line. An empty one does not: a script makes it for itself, as an alarm clock.
    """
    if headers.every == 0:
        return Due(True, "runs at every tick")
    if done is None:
        return Due(True, "has not been satisfied yet")
    if done.first_line not in (digest, "done"):
        changed = len(done.first_line) == 64 and not done.first_line.strip("0123456789abcdef")
        return Due(True, "its content changed" if changed else "only an alarm is set")
    if headers.every is None:
        return Due(False, "satisfied")
    if done.mtime > now + FUTURE:
        return Due(True, "its done-file lies in the future: the clock went back")
    if now >= due_at(headers.every, done):
        return Due(True, f"its time has come again (every {span_text(headers.every)})")
    return Due(False, f"satisfied; due again in {span_text(done.mtime + headers.every - now)}")


def due_at(every: int, done: Done) -> float:
    """When a script that is to run so often is due again, in seconds since the epoch."""
    return done.mtime + every - min(every * _EARLY, _EARLIEST)


def state_after(code: int) -> str:
    """The state that an exit status stands for: 0 satisfied, 75 waiting, all else failing."""
    if code == 0:
        return "satisfied"
    return "waiting" if code == TEMPFAIL else "failing"


def beyond(state: str, why: str) -> str:
    """What of a reason says more than the state beside which it is shown; "" if nothing does."""
    return "" if why == state else why.replace(f"{state}; ", "", 1)


def wants(headers: Headers, paths: tuple[str, ...]) -> bool:
    """Whether a change at any of these absolute paths makes the script due (`on-change`)."""
    return any(
        path == pattern or globs.of_path(pattern).matches(path) or _below(path, pattern)
        for pattern in headers.on_change
        for path in paths
    )


def _below(path: str, pattern: str) -> bool:
    """`/etc/ssh/**` also means /etc/ssh itself."""
    return pattern.endswith("/**") and path == pattern[:-3]


def span_text(seconds: float) -> str:
    """A span of time for people: `45 s`, `12 min`, `3 h`, `5 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
