"""The store, in every form that a way of bringing an image wants, and the servers of them.

Two images are there, the old and the new. `show` says which of them the servers have under the
image's name; a rename, a ref, an index. What must be prepared for that is measured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import daemon
from bench.image_peers import ALLIE, CASYNC, HTTP, IMAGE, OSTREE, RSYNC, TAR
from bench.peer import PATH
from bench.sample import Sample, measure

OLD, NEW = "old", "new"
Prepared = dict[tuple[str, str], Sample]  # by way and image
_NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {work}/nginx.pid;
error_log {work}/nginx.log;
events {{ }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  client_body_temp_path {work}/nginx.body;
  proxy_temp_path {work}/nginx.proxy;
  fastcgi_temp_path {work}/nginx.fastcgi;
  uwsgi_temp_path {work}/nginx.uwsgi;
  scgi_temp_path {work}/nginx.scgi;
  server {{ listen 127.0.0.1:{port}; root {work}/http; }}
}}
"""


class Store:
    """The directories, and what is shown now."""

    def __init__(self, work: Path, names: Iterable[str]) -> None:
        self.work = work
        self.top = work / "store"
        self.http = work / "http"
        self.names = set(names)
        self.shown = ""
        self.commits: dict[str, str] = {}
        self.prepared: Prepared = {}

    @property
    def images(self) -> Path:
        return self.top / "images"

    def tree(self, which: str) -> Path:
        """Where one of the two images is now."""
        return self.images / (IMAGE if which == self.shown else f".{which}")

    def show(self, which: str) -> None:
        """Serve this one as the image."""
        if which == self.shown:
            return
        if self.shown:
            (self.images / IMAGE).rename(self.images / f".{self.shown}")
        (self.images / f".{which}").rename(self.images / IMAGE)
        self.shown = which
        if which in self.commits:
            (self.http / "repo/refs/heads" / IMAGE).write_text(self.commits[which] + "\n")
        index = self.http / f"{which}.caidx"
        if index.exists():
            shutil.copy(index, self.http / f"{IMAGE}.caidx")

    def prepare(self) -> None:
        """Make what ostree and casync serve, and measure it."""
        self.http.mkdir()
        repo = f"--repo={self.http}/repo"
        if OSTREE in self.names:
            subprocess.run(["ostree", repo, "init", "--mode=archive"], check=True)
        for which in (OLD, NEW):
            tree = self.tree(which)
            if OSTREE in self.names:
                commit = ["ostree", repo, "commit", f"--branch={IMAGE}", f"--tree=dir={tree}"]
                self.commits[which] = self._prepare(OSTREE, which, commit)
            if CASYNC in self.names:
                store = f"--store={self.http}/{IMAGE}.castr"
                index = f"{self.http}/{which}.caidx"
                self._prepare(CASYNC, which, ["casync", "make", store, index, str(tree)])

    def _prepare(self, name: str, which: str, argv: list[str]) -> str:
        log = self.work / "prepare.log"
        sample = measure(argv, {"PATH": PATH, "HOME": str(self.work)}, log, None)
        said = log.read_text(errors="replace").split()
        if sample.status:
            raise RuntimeError(f"{' '.join(argv)}: {' '.join(said)[-500:]}")
        self.prepared[name, which] = sample
        return said[-1] if said else ""

    def preparations(self) -> list[str]:
        """What had to be made on the server before anybody could fetch, in words."""
        found = []
        for name, place in ((OSTREE, "repo"), (CASYNC, f"{IMAGE}.castr")):
            samples = [
                self.prepared[key] for key in ((name, OLD), (name, NEW)) if key in self.prepared
            ]
            if samples:
                walls = " s and ".join(f"{sample.wall / 1000:.1f}" for sample in samples)
                used = subprocess.check_output(["du", "-sm", self.http / place], text=True)
                kept = f"{used.split()[0]} MB kept besides the trees"
                found.append(f"{name}: the image and its upgrade took the server {walls} s; {kept}")
        return found


class Servers:
    """Who serves whom: ports and process ids, by the name of who is served."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.pids: dict[str, int] = {}


@contextmanager
def serving(store: Store, allie: Path, wanted: Iterable[str]) -> Iterator[Servers]:
    """Run the servers of these."""
    found = Servers()
    with ExitStack() as stack:
        for name in dict.fromkeys(wanted):
            port = found.ports[name] = daemon.free_port()
            argv = _argv(store, allie, name, port)
            log = store.work / f"{port}.log"
            found.pids[name] = stack.enter_context(daemon.serving(argv, port, log))
        yield found


def _argv(store: Store, allie: Path, name: str, port: int) -> list[str]:
    if name == RSYNC:
        return daemon.plain_argv(store.top, store.work, port)
    if name == ALLIE:
        return daemon.allie_argv(allie, store.top, port)
    if name == HTTP:
        config = store.work / "nginx.conf"
        config.write_text(_NGINX.format(work=store.work, port=port))
        return ["nginx", "-e", str(store.work / "nginx.log"), "-c", str(config)]
    assert name == TAR
    script = Path(__file__).with_name("stream.py")
    return [sys.executable, str(script), str(port), str(store.images / IMAGE)]


def many_files(target: Path, files: int) -> None:
    """An image of little files, a hundred a directory."""
    (target / "bin").mkdir(parents=True)
    for number in range(files):
        place = target / f"usr/share/{number // 100:04}"
        if number % 100 == 0:
            place.mkdir(parents=True)
        path = place / f"{number % 100:02}"
        path.write_text(f"{number}\n")
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
