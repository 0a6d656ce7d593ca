"""What the two ends of a capture have agreed on: `allie offer` there, `image capture` here.

The offer is a module of a temporary rsync daemon, read-only. Two more are not the offered system:
one says what is mounted in it; into the other the capture lays one small file when all is well, and
the offer ends.
"""

from __future__ import annotations

MODULE = "offer"
MAILBOX = "offer-done"
MESSAGE = "captured"
ABOUT = "offer-about"
MACHINE = "machine"  # a file there: `machine.disk.mounts_and_swap.Machine` as JSON
USER = "allie"
PORT = 8873
CONNECTIONS = 8  # at a time; a capture has one


def configuration(top: str, work: str, port: int, hosts: str) -> str:
    """The rsyncd.conf(5) of an offer. work: a directory that root alone can read.

    max verbosity 2: the capture may ask what is left out. use chroot: a symlink in what is offered
    leads nowhere out of it. timeout: as long as a capture waits.
    """
    lines = [
        f"port = {port}",
        f"pid file = {work}/pid",
        f"log file = {work}/log",
        f"lock file = {work}/lock",
        "listen backlog = 16",
        f"max connections = {CONNECTIONS}",
        "timeout = 300",
        "use chroot = yes",
        "uid = 0",
        "gid = 0",
        "list = no",
        "reverse lookup = no",
        "max verbosity = 2",
        "socket options = TCP_NODELAY",
        f"auth users = {USER}",
        f"secrets file = {work}/secrets",
    ]
    if hosts:
        lines += [f"hosts allow = {hosts}", "hosts deny = *"]
    lines += [f"[{MODULE}]", f"    path = {top}", "    read only = yes"]
    lines += [f"[{ABOUT}]", f"    path = {work}/{ABOUT}", "    read only = yes"]
    lines += [f"[{MAILBOX}]", f"    path = {work}/{MAILBOX}", "    read only = no"]
    lines += ["    write only = yes", "    munge symlinks = yes"]
    return "\n".join(lines) + "\n"


def command(host: str, port: int, secret: str) -> str:
    """What to type on the server."""
    return f"RSYNC_PASSWORD={secret} allie image capture NAME rsync://{USER}@{host}:{port}/{MODULE}"


def mailbox(address: str) -> str:
    """Where the capture of an offer is to say that it is done; "" if it is no offer's address.

    >>> mailbox("rsync://allie@pc07:8873/offer")
    'rsync://allie@pc07:8873/offer-done'
    """
    return _beside(address, MAILBOX)


def about(address: str) -> str:
    """Where an offer says what is mounted in it; "" if it is no offer's address."""
    return _beside(address, ABOUT)


def _beside(address: str, module: str) -> str:
    above, _, name = address.rstrip("/").rpartition("/")
    return f"{above}/{module}" if name == MODULE and above.startswith("rsync://") else ""
