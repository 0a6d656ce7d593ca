"""Try the doors from outside, as those who come to them: what can be read and written, by whom?

Nothing of the configuration is believed: each line of the table is a set of real attempts with
rsync and ssh, and says yes if one of them came through. What hosts may do is tried by two that are
enrolled for that time (`check_hosts`), and so on the server alone.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import secrets
import shlex
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from allie.core.errors import StateError, words_of
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.programs.process_groups import Bounds
from allie.machine.transfer.ssh_door import PINNED
from allie.server import store_conf
from allie.server.doors import rsyncd_conf, scan
from allie.server.doors.units import Ports
from allie.server.places import ACCOUNT, Places
from allie.server.serving import check_hosts
from allie.server.serving.check_hosts import SECRET, CheckHost
from allie.server.store import MODULES
from allie.server.store_conf import StoreConf

_PATIENCE = 20.0  # seconds without a byte
_MOST = 60.0  # seconds for one attempt
_MARK = "allie-check"  # a name and a content that nothing of the store has


class Caller(Value):
    """Somebody at a door."""

    name: str  # as the table calls him
    at: str  # what stands before the module's name
    ssh: tuple[str, ...] = ()  # the words that reach the ssh door
    host: CheckHost | None = None  # if he is enrolled, who he is
    other: CheckHost | None = None  # and who else is


class CheckRow(Value):
    """One line of the table: what was tried, who could, and who should."""

    what: str
    can: tuple[bool, ...]
    should: tuple[bool, ...]

    @property
    def is_well(self) -> bool:
        """Whether all is as it should be."""
        return self.can == self.should


class Table(Value):
    """A check: who comes, and a line for each thing tried, which comes when it has been tried."""

    callers: tuple[str, ...]
    width: int  # of the longest `what`
    rows: Iterator[CheckRow]


class _Attempt(Value):
    what: str
    who: str  # should be able to: "a" anybody by rsync, "h" a host; "": nobody
    way: Callable[[Caller, str], bool]  # given a directory for what comes
    at_ssh_alone: bool = False


@contextmanager
def table(address: str, ports: Ports, places: Places | None) -> Iterator[Table]:
    """Try everything. places: the store's, if this is its server; else no host can be tried."""
    ours = _need_answer(address, ports.rsync)
    _need_answer(address, ports.ssh)
    is_admitted = places is not None and _is_admitted(ours, store_conf.read(places.store))
    none: tuple[CheckHost, ...] = ()
    hosts = check_hosts.enrolled(places) if places else nullcontext(none)
    with tempfile.TemporaryDirectory(prefix="allie-check-") as work, hosts as enrolled:
        known = _known_hosts(work, places)
        _stranger(work)
        callers = [Caller("anybody", f"rsync://{_bracketed(address)}:{ports.rsync}/")]
        at = f"{ACCOUNT}@{_bracketed(address)}::"
        callers.append(Caller("a stranger", at, _ssh(f"{work}/stranger", known, ports.ssh)))
        for host, other in zip(enrolled, reversed(enrolled)):
            ssh = _ssh(host.key, known, ports.ssh)
            callers.append(Caller(f"{host.name.partition('.')[0]} host", at, ssh, host, other))
        attempts = list(_attempts(ports, address))
        tried = (_row(each, callers, work) for each in attempts)
        rows = (each if is_admitted else _with_any(each) for each in tried)
        width = max(len(each.what) for each in attempts)
        try:
            yield Table(tuple(each.name for each in callers), width, rows)
        finally:
            if places:
                _sweep(places)


def _sweep(places: Places) -> None:
    """Remove what could be sent where nothing should be."""
    for module in MODULES:
        atomic.remove(f"{places.store}/{module}/{_MARK}")


def is_server_of(address: str, port: int, places: Places) -> bool:
    """Whether that ssh door is this store's: no other server shows another key there."""
    shown = scan.ask({"server": address}, port).keys.get("server")
    words = (atomic.read(f"{places.host_key}.pub") or "").split()
    return shown is None or words[:2] == [shown.kind, shown.blob]


def _is_admitted(source: str, rules: StoreConf) -> bool:
    """Whether `hosts allow` names the address that we call from; a name in it tells nothing."""
    address = ipaddress.ip_address(source.partition("%")[0])
    return any(address in each for each in rsyncd_conf.networks(rules)[0])


def _with_any(row: CheckRow) -> CheckRow:
    """A line in which anybody may read, or not: it is not known whether he is in `hosts allow`."""
    return row._replace(should=(row.should[0] and row.can[0], *row.should[1:]))


def _need_answer(address: str, port: int) -> str:
    """The address that we call from. Raises StateError where nobody listens there."""
    try:
        with socket.create_connection((address, port), _PATIENCE) as call:
            return str(call.getsockname()[0])
    except OSError as error:
        words = f"nobody answers at {address}, port {port}: {words_of(error)}"
        raise StateError(words, "allie store setup, or another --port or --ssh-port") from error


def _row(attempt: _Attempt, callers: Sequence[Caller], work: str) -> CheckRow:
    can, should = [], []
    for caller in callers:
        with tempfile.TemporaryDirectory(dir=work) as into:
            passed_over = attempt.at_ssh_alone and not caller.ssh
            can.append(not passed_over and attempt.way(caller, into))
        kind = "h" if caller.host else "" if caller.ssh else "a"
        should.append(bool(kind) and kind in attempt.who)
    return CheckRow(attempt.what, tuple(can), tuple(should))


def _attempts(ports: Ports, address: str) -> Iterable[_Attempt]:
    yield _Attempt("list what there is", "", functools.partial(_lists, module=""))
    for module in MODULES:
        yield _Attempt(f"read {module}", "ah", functools.partial(_lists, module=module))
    yield _Attempt("write there", "", _writes_modules)
    yield _Attempt("read its own private", "h", _reads_own)
    yield _Attempt("read another's private", "", _reads_others)
    yield _Attempt("write to private", "", functools.partial(_sends, to="private/"))
    yield _Attempt("send a report", "h", _reports)
    yield _Attempt("send one that fills a disk", "", _fills)
    yield _Attempt("read an inbox", "", _reads_inbox)
    yield _Attempt("leave anything else there", "", _leaves_other)
    yield _Attempt("run a command", "", _runs_command, True)
    yield _Attempt("have a terminal", "", _has_terminal, True)
    way = f"{_bracketed(address)}:{ports.rsync}"
    yield _Attempt("reach another port", "", functools.partial(_reaches, way=way), True)


# --- attempts ------------------------------------------------------------------------------------


def _lists(who: Caller, _: str, module: str) -> bool:
    done = _rsync(who, "--list-only", f"{who.at}{module}{'/' * bool(module)}")
    return done.code == 0 and bool(done.out.strip())


def _reads_own(who: Caller, into: str) -> bool:
    _rsync(who, "-r", f"{who.at}private/", into)
    if who.host is None:
        return bool(os.listdir(into))
    return _has_come(into, who.host)


def _reads_others(who: Caller, into: str) -> bool:
    """By names that lead out of a module, and by a name that the caller gives himself."""
    other = who.other.name if who.other else check_hosts.NAMES[1]
    ways = [
        *(f"{module}/../{other}/" for module in ("private", "inbox")),
        *(f"{module}/../private/{other}/" for module in ("private", "overlays")),
        f"private/../../private/{other}/",
        f"private/{other}/",
        f"{other}/",
    ]
    for way in ways:
        _rsync(who, "-r", f"{who.at}{way}", into)
    named = who._replace(ssh=(*who.ssh, "-o", f"SetEnv=ALLIE_HOST={other}")) if who.ssh else who
    _rsync(named, "-r", f"{who.at}private/", into)
    return _has_come(into, who.other) if who.other else bool(os.listdir(into))


def _has_come(into: str, host: CheckHost) -> bool:
    paths = (f"{above}/{name}" for above, _, names in os.walk(into) for name in names)
    return any(atomic.read(path) == host.secret for path in paths if path.endswith(SECRET))


def _sends(who: Caller, into: str, to: str, name: str = _MARK, options: str = "-t") -> bool:
    """Whether a file can be sent there."""
    atomic.write(f"{into}/{name}", _MARK)
    return _rsync(who, options, f"{into}/{name}", f"{who.at}{to}").code == 0


def _writes_modules(who: Caller, into: str) -> bool:
    return any(_sends(who, into, f"{module}/") for module in MODULES)


def _reports(who: Caller, into: str) -> bool:
    return _sends(who, into, "inbox/", "report")


def _fills(who: Caller, into: str) -> bool:
    with open(f"{into}/report", "wb") as file:
        file.write(secrets.token_bytes(rsyncd_conf.REPORT_MOST + 1))
    return _rsync(who, "-t", f"{into}/report", f"{who.at}inbox/").code == 0


def _reads_inbox(who: Caller, into: str) -> bool:
    """Its own, after it has sent a report: with no option that the module refuses, and by name."""
    _rsync(who, "-t", f"{who.at}inbox/report", into)
    return bool(os.listdir(into)) or _lists(who, into, "inbox")


def _leaves_other(who: Caller, into: str) -> bool:
    os.symlink("/etc/passwd", f"{into}/link")
    os.mkfifo(f"{into}/fifo")
    os.mkdir(f"{into}/report")
    links = [
        _rsync(who, "-rlptD", f"{into}/{name}", f"{who.at}inbox/") for name in ("link", "fifo")
    ]
    inside = _rsync(who, "-r", f"{into}/report", f"{who.at}inbox/")
    return any(each.code == 0 for each in (*links, inside)) or _sends(who, into, "inbox/")


def _runs_command(who: Caller, _: str) -> bool:
    done = _run([*who.ssh, f"{ACCOUNT}@{_host(who)}", "id; echo", _MARK])
    return _MARK.encode() in done.out


def _has_terminal(who: Caller, _: str) -> bool:
    done = _run([*who.ssh, "-tt", f"{ACCOUNT}@{_host(who)}", "tty"])
    return b"PTY allocation request failed" not in done.err and b"@RSYNCD" in done.out


def _reaches(who: Caller, _: str, way: str) -> bool:
    return b"@RSYNCD" in _run([*who.ssh, "-W", way, f"{ACCOUNT}@{_host(who)}"]).out


# --- how they are made ---------------------------------------------------------------------------


def _rsync(who: Caller, *words: str) -> process.Finished:
    through = ["-e", shlex.join(who.ssh)] if who.ssh else []
    return _run(["rsync", "--timeout=20", *through, *words])


def _run(argv: Sequence[str]) -> process.Finished:
    return process.run(argv, bounds=Bounds(_PATIENCE, time.monotonic() + _MOST))


def _ssh(key: str, known: str, port: int) -> tuple[str, ...]:
    options = [
        "BatchMode=yes",
        "ConnectTimeout=10",
        f"HostKeyAlias={PINNED}",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        f"StrictHostKeyChecking={'yes' if os.path.getsize(known) else 'accept-new'}",
        f"UserKnownHostsFile={known}",
        "GlobalKnownHostsFile=none",
    ]
    words = [word for each in options for word in ("-o", each)]
    return ("ssh", "-F", "none", "-i", key, "-p", str(port), *words)


def _known_hosts(work: str, places: Places | None) -> str:
    """A file with the server's key, where that can be known."""
    path = f"{work}/known_hosts"
    public = atomic.read(f"{places.host_key}.pub") if places else None
    atomic.write(path, f"{PINNED} {public}" if public else "")
    return path


def _stranger(work: str) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{work}/stranger"]
    process.run(argv, check=True)


def _host(who: Caller) -> str:
    return who.at.partition("@")[2].rpartition("::")[0].strip("[]")


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
