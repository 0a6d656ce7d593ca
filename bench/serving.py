"""`python -m bench.serving`: many PCs, several servers of one store, and what serving costs.

1,000 ticks of real PCs against three rsync daemons, of which one is killed in mid-run and one lags
behind; the same through HAProxy; and what one connection costs the server, through each door.
Writes bench/SERVING.md; exits 1 if a tick failed or went back, or a budget is not met. It needs
root, for roots, mounts and a network of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from bench import machine, overlay, root, wire
from bench.servers import PORT, Daemon
from bench.serving_doors import Costs, costs
from bench.serving_pcs import MARK, PC, Phase, made, play
from bench.serving_results import conclude
from tests.worlds import haproxy
from tests.worlds.haproxy import Proxy

TOP = Path(__file__).resolve().parents[1]
ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
PROXY = "127.0.0.20"
FILES = 50


class Site:
    """A store, its two mirrors, and their daemons."""

    def __init__(self, allie: Path, work: Path) -> None:
        self.allie, self.work = allie, work
        self.daemons = [
            Daemon(work / f"store{number}", address) for number, address in enumerate(ADDRESSES)
        ]
        self.first = self.daemons[0].store
        self._run("store", "init", "--store", str(self.first))
        overlay.write(overlay.make(FILES), self.first / "overlays/common")
        self.edition = 0
        self.edit()
        self.mirror(1, 2)

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.daemons]

    def edit(self) -> None:
        """Change the store: a new edition, and a file that every edition has, and no other."""
        self.edition += 1
        common = self.first / "overlays/common"
        (common / MARK).parent.mkdir(parents=True, exist_ok=True)
        (common / MARK).write_text(f"{self.edition}\n")
        (common / f"etc/edition-{self.edition}").write_text("new\n")

    def mirror(self, *numbers: int) -> None:
        for number in numbers:
            store = self.daemons[number].store
            self._run("store", "mirror", str(self.first), "--store", str(store))

    def counts(self) -> list[int]:
        return [each.asked for each in self.daemons]

    def _run(self, *words: str) -> None:
        subprocess.run([str(self.allie), *words], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pcs", type=int, default=250, help="PCs with a list of servers")
    parser.add_argument("--install", action="store_true", help="install HAProxy with apt-get")
    parser.add_argument("--allie", default=TOP / ".venv/bin/allie", type=Path, metavar="PROGRAM")
    parser.add_argument("--out", type=Path, metavar="FILE")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: needs root, for roots and a network of its own", file=sys.stderr)
        return 2
    if args.install and not haproxy.there():
        subprocess.run(["apt-get", "install", "--yes", "haproxy"], check=True)
    args.out = args.out or TOP / ("bench" if args.pcs == 250 else "build/bench") / "SERVING.md"
    work = root.workplace(TOP / "build/bench")
    root.in_memory(work)
    wire.own_network()
    about = machine.describe(work)
    try:
        phases, direct, through = run(args, work)
    finally:
        root.remove(work)
    return conclude(args.out, about, args.pcs, phases, through, direct)


def run(args: argparse.Namespace, work: Path) -> tuple[list[Phase], Costs, list[Phase]]:
    with ExitStack() as stack:
        site = Site(args.allie.absolute(), work)
        for each in site.daemons:
            each.start()
            stack.callback(each.kill)
        names = [f"pc{number:04}" for number in range(args.pcs)]
        began = time.monotonic()
        pcs = made(work / "pcs", names, site.first, site.urls)
        print(f"{len(pcs)} PCs in {time.monotonic() - began:.0f} s", file=sys.stderr)
        phases = on_three_servers(site, pcs)
        through = by_haproxy(site, work, stack) if haproxy.there() else []
        return phases, costs(site.first, pcs[0], work), through


def on_three_servers(site: Site, pcs: list[PC]) -> list[Phase]:
    """One has no news, one is killed; and both come back."""
    second = site.daemons[1]
    phases = [play("all equal", pcs, site.counts)]
    site.edit()
    site.mirror(1)
    phases.append(play("the third lags", pcs, site.counts))
    phases.append(play("the second is killed in the middle", pcs, site.counts, second.kill))
    phases.append(play("it stays away, the third lags", pcs, site.counts))
    second.start()
    site.mirror(2)
    phases.append(play("it is back, the third is current", pcs, site.counts))
    an_hour_later(pcs)
    phases.append(play("an hour later", pcs, site.counts))
    phases.append(play("all equal again", pcs, site.counts))
    return phases


def an_hour_later(pcs: list[PC]) -> None:
    """For a PC that remembers that a server was away; waiting would take too long."""
    for path in (pc.root / "var/lib/allie/away" for pc in pcs):
        if path.exists():
            known = json.loads(path.read_text())
            times = {url: [since - 3600, asked - 3600] for url, (since, asked) in known.items()}
            path.write_text(json.dumps(times))


def by_haproxy(site: Site, work: Path, stack: ExitStack) -> list[Phase]:
    """PCs that know one address; a server is drained, another is killed, and comes back."""
    servers = [(each.address, PORT) for each in site.daemons]
    proxy = stack.enter_context(Proxy(work, site.first, PROXY, PORT, servers))
    names = [f"px{number:03}" for number in range(10)]
    pcs = made(work / "proxied", names, site.first, [proxy.url]) * 6
    second = site.daemons[1]
    phases = [play("all equal", pcs, site.counts)]
    proxy.set(0, "drain")
    phases.append(play("the first is drained", pcs, site.counts))
    proxy.set(0, "ready")
    time.sleep(1)
    phases.append(play("the second is killed in the middle", pcs, site.counts, second.kill))
    phases.append(play("it stays away", pcs, site.counts))
    second.start()
    time.sleep(1)
    phases.append(play("it is back", pcs, site.counts))
    return phases


if __name__ == "__main__":
    sys.exit(main())
