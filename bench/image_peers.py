"""The ways to bring an image to a PC: what each needs, and the commands that are measured.

Each is one row of `all_ways`; its commands are pure functions of a Place. Those that write into the
one tree that there is spare themselves what ALLiE, ostree and `rsync --copy-dest` do: the tree that
people are in stays as it is until the next one is ready.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from bench.peer import PATH

IMAGE = "debian"
RSYNC, ZSTD, SYNCED = "rsync", "rsync, zstd", "rsync -S, then sync"
TUNED = "rsync, ALLiE's server"
SECOND = "rsync, zstd, a second tree"
ALIKE = "rsync -S -c, zstd, a second tree"
ALLIE, FETCH = "ALLiE", "ALLiE rsync-image"
OSTREE, CASYNC, TAR, HTTP = "ostree", "casync", "tar, zstd", "nginx"
_CLIENT = "/usr/local/bin/allie"


@dataclass(frozen=True)
class Place:
    """Where one of them works."""

    own: Path
    ports: dict[str, int]  # of the servers, by the name of who is served
    image: str = IMAGE

    @property
    def base(self) -> Path:
        """The PC's root, where a program of its own is needed; else just a directory."""
        return self.own / "base"

    @property
    def tree(self) -> Path:
        """What it brings."""
        return self.base / "systems" / self.image

    @property
    def state(self) -> Path:
        """Its own files."""
        return self.own / "state"


Argv = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Program:
    needs: str
    version: tuple[str, ...]
    package: str = ""


def _nothing(_: Place) -> None:
    pass


@dataclass(frozen=True)
class Way:
    name: str
    server: str  # who serves it: one of RSYNC, ALLIE, HTTP, TAR
    programs: tuple[Program, ...]
    first: Argv
    no_op: Argv | None = None
    update: Argv | None = None
    prepare: Callable[[Place], None] = _nothing  # not measured
    living: bool = False  # runs in the PC's root

    def argv(self, place: Place, case: str) -> list[str] | None:
        """The command of a case; None if it has none."""
        argv = {"first": self.first, "no-op": self.no_op, "update": self.update}[case]
        return argv(place) if argv else None


_FLAGS = ["rsync", "-aHAX", "--numeric-ids", "--delete"]
_ZSTD = ("-z", "--zc=zstd")
_SHIFT = 'rm -rf "$0.old" && { [ ! -e "$0" ] || mv "$0" "$0.old"; }'


def _rsync_prepare(place: Place) -> None:
    place.tree.parent.mkdir(parents=True)


def _rsync(*more: str, server: str = RSYNC) -> Argv:
    def argv(place: Place) -> list[str]:
        url = f"rsync://127.0.0.1:{place.ports[server]}/images/{place.image}/"
        return [*_FLAGS, *more, url, f"{place.tree}/"]

    return argv


def _rsync_synced(place: Place) -> list[str]:
    """It keeps holes, and does not end before all is on the disk."""
    script = '"$@" && exec sync -f "$0"'
    return ["sh", "-c", script, str(place.tree), *_rsync("-S")(place)]


def _second(*more: str) -> Argv:
    """Into a second tree, which then takes the place of the first."""

    def argv(place: Place) -> list[str]:
        argv = _rsync(*_ZSTD, *more, f"--copy-dest={place.tree}/")(place)
        script = f'mkdir "$0.new" && "$@" && sync -f "$0.new" && {_SHIFT} && mv "$0.new" "$0"'
        return ["sh", "-c", script, str(place.tree), *argv[:-1], f"{place.tree}.new/"]

    return argv


# ALLiE: in a PC's root, which is entered with chroot


def _join(place: Place) -> None:
    client = place.base / _CLIENT.lstrip("/")
    url = f"rsync://127.0.0.1:{place.ports[ALLIE]}"
    own = ["--system", "pc", "--image", "pc", "--overlays", "kit,common", "--no-timer"]
    kit = [*_FLAGS[:2], f"{url}/overlays/kit{_CLIENT}", str(client)]
    subprocess.run(kit, check=True, stdout=subprocess.DEVNULL)
    argv = ["chroot", str(place.base), _CLIENT, "join", url, *own]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, env={"PATH": PATH})


def _allie(place: Place, *words: str) -> list[str]:
    return ["chroot", str(place.base), _CLIENT, *words]


def _add(place: Place) -> list[str]:
    name = place.image
    what = ["--in", f"/systems/{name}", "--image", name, "--overlays", "kit,common"]
    return _allie(place, "system", "add", name, *what)


def _update(place: Place) -> list[str]:
    return _allie(place, "system", "update", place.image)


def _fetch_prepare(place: Place) -> None:
    _join(place)
    place.tree.mkdir(parents=True)


def _fetch(place: Place) -> list[str]:
    return _allie(place, "rsync-image", "image", place.image, f"/systems/{place.image}")


# ostree, casync, tar


def _ostree_prepare(place: Place) -> None:
    repo = f"--repo={place.state}/repo"
    url = f"http://127.0.0.1:{place.ports[HTTP]}/repo"
    subprocess.run(["ostree", repo, "init", "--mode=bare"], check=True)
    subprocess.run(["ostree", repo, "remote", "add", "--no-gpg-verify", "origin", url], check=True)


def _ostree_pull(place: Place) -> list[str]:
    return ["ostree", f"--repo={place.state}/repo", "pull", "origin", IMAGE]


def _ostree(place: Place) -> list[str]:
    """Pull, and check out beside the tree that is there."""
    checkout = f'ostree --repo={place.state}/repo checkout origin:{IMAGE} "$0.new"'
    script = f'mkdir -p "${{0%/*}}" && "$@" && {checkout} && {_SHIFT} && mv "$0.new" "$0"'
    return ["sh", "-c", script, str(place.tree), *_ostree_pull(place)]


def _casync(place: Place) -> list[str]:
    """Beside the tree that is there, which has most of the chunks; in it casync fails."""
    url = f"http://127.0.0.1:{place.ports[HTTP]}/{IMAGE}"
    seed = [f"--seed={place.tree}"] if place.tree.exists() else []
    extract = ["casync", "extract", f"--store={url}.castr", *seed, f"{url}.caidx"]
    script = f'"$@" && {_SHIFT} && mv "$0.new" "$0"'
    return ["sh", "-c", script, str(place.tree), *extract, f"{place.tree}.new"]


def _tar(place: Place) -> list[str]:
    """All of it, into a fresh tree."""
    tar = 'tar --numeric-owner -p --acls --xattrs --xattrs-include="*" -x -C "$0"'
    receive = f"exec 3<>/dev/tcp/127.0.0.1/{place.ports[TAR]} && zstd -q -d <&3 | {tar}"
    return ["bash", "-c", f'{_SHIFT} && mkdir -p "$0" && {receive}', str(place.tree)]


def all_ways(allie: Path) -> list[Way]:
    """All of them, in the order of the tables; allie is the program with the store's verbs."""
    rsync = (Program("rsync", ("rsync", "--version"), "rsync"),)
    ours = (*rsync, Program(str(allie), (str(allie), "--version")))
    nginx = Program("nginx", ("nginx", "-v"), "nginx-light")
    ostree = (Program("ostree", ("ostree", "--version"), "ostree"), nginx)
    casync = (Program("casync", ("casync", "--version"), "casync"), nginx)
    tar = (Program("zstd", ("zstd", "--version"), "zstd"),)
    plain, packed, synced = _rsync(), _rsync(*_ZSTD), _rsync_synced
    tuned, second, alike = _rsync(server=ALLIE), _second(), _second("-S", "-c")
    return [
        Way(RSYNC, RSYNC, rsync, plain, plain, plain, _rsync_prepare),
        Way(TUNED, ALLIE, rsync, tuned, tuned, tuned, _rsync_prepare),
        Way(ZSTD, RSYNC, rsync, packed, packed, packed, _rsync_prepare),
        Way(SYNCED, RSYNC, rsync, synced, synced, synced, _rsync_prepare),
        Way(SECOND, RSYNC, rsync, packed, second, second, _rsync_prepare),
        Way(ALIKE, RSYNC, rsync, synced, alike, alike, _rsync_prepare),
        Way(ALLIE, ALLIE, ours, _add, _update, _update, _join, living=True),
        Way(FETCH, ALLIE, ours, _fetch, prepare=_fetch_prepare, living=True),
        Way(OSTREE, HTTP, ostree, _ostree, _ostree_pull, _ostree, _ostree_prepare),
        Way(CASYNC, HTTP, casync, _casync, _casync, _casync, _rsync_prepare),
        Way(TAR, TAR, tar, _tar, None, _tar, _rsync_prepare),
    ]
