"""ALLiE's tick against its peers, in one interleaved run: `bench/run.py --help`, bench/README.md.

Needs root: the PCs' roots are entered with chroot, in a mount namespace of the bench's own. Nothing
outside its working directory is written but bench/RESULTS.md, and packages with --install.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import budgets, daemon, machine, overlay, results, root
from bench.budgets import Server
from bench.peer import Peer, Site
from bench.peers import ALLIE, OWN, OWN_KEY, PYTHON, RSYNC, all_peers, named
from bench.world import SLOW, Results, World
from tests.worlds.ssh_door import SshDoor, make_key

TOP = Path(__file__).resolve().parents[1]
SIZES = (50, 500, 5000)
WORK = ("first", "after", "changed", "drifted", "after")
PULLS = 20  # one after the other, to see what they cost the server
WORK_EVERY = 3  # rounds: before the no-op of all of them


@dataclass(frozen=True)
class Running:
    """What stays the same during the run."""

    worlds: list[World]
    names: list[str]
    missing: list[str]


def main() -> int:
    args = arguments()
    if os.geteuid() != 0:
        print("bench: needs root, for chroot and mounts of its own", file=sys.stderr)
        return 2
    peers = chosen(args)
    if args.install:
        machine.install(peers)
    work = root.workplace(args.disk or TOP / "build/bench")
    if not args.disk:
        root.in_memory(work)
    about = [*machine.describe(work), versions(peers)]
    try:
        with ExitStack() as stack:
            running = start(args, peers, work, stack)
            found = play(running, args.rounds)
            server = server_cost(running, 4 if args.quick else 8)
            questions = {world.files: world.question(ALLIE) for world in running.worlds}
    except (subprocess.CalledProcessError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if not (args.keep and args.disk):
            root.remove(work)
    return conclude(args, about, running, found, server, questions)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="ALLiE's tick against its peers, in one run")
    parser.add_argument("--rounds", type=int, help="rounds; 15, quick 9")
    parser.add_argument("--quick", action="store_true", help="50 and 500 files, no peer over 10 s")
    parser.add_argument(
        "--only", metavar="NAME,…", help="these peers, or with such words in a name"
    )
    parser.add_argument("--files", metavar="N,…", help="overlays of N files; 50,500,5000")
    parser.add_argument("--install", action="store_true", help="install missing peers with apt-get")
    parser.add_argument("--allie", default=TOP / ".venv/bin/allie", type=Path, metavar="PROGRAM")
    parser.add_argument("--disk", metavar="DIR", type=Path, help="work there, and not in memory")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="results; of a full run bench/RESULTS.md"
    )
    parser.add_argument("--keep", action="store_true", help="leave the roots on that disk")
    args = parser.parse_args()
    for word in args.only.split(",") if args.only else []:
        if not named([word], all_peers(args.allie)):
            names = ", ".join(peer.name for peer in all_peers(args.allie))
            parser.error(f"--only {word}: there are {names}")
    args.full = not (args.quick or args.only or args.files or args.rounds)
    args.allie = args.allie.absolute()
    args.rounds = args.rounds or (9 if args.quick else 15)
    sizes = [int(word) for word in args.files.split(",")] if args.files else SIZES
    args.sizes = sorted(sizes[:2] if args.quick else sizes)
    args.out = args.out or TOP / ("bench" if args.full else "build/bench") / "RESULTS.md"
    return args


def chosen(args: argparse.Namespace) -> list[Peer]:
    """The peers asked for, and the two that the budgets are ratios to."""
    peers = all_peers(args.allie)
    words = [*args.only.split(","), PYTHON, RSYNC] if args.only else [""]
    return named(words, peers)


def start(args: argparse.Namespace, peers: Sequence[Peer], work: Path, stack: ExitStack) -> Running:
    present = [peer for peer in peers if machine.installed(peer)]
    limit = SLOW / 6 if args.quick else SLOW
    worlds = [build(args.allie, work, files, limit, present, stack) for files in args.sizes]
    missing = [peer.name for peer in peers if peer not in present]
    return Running(worlds, [peer.name for peer in peers], missing)


def build(
    allie: Path, top: Path, files: int, limit: float, peers: Sequence[Peer], stack: ExitStack
) -> World:
    """One overlay in a store, its servers, and a site for every peer."""
    work = top / str(files)
    store = work / "store"
    store.mkdir(parents=True)
    ports = {RSYNC: daemon.free_port()}
    argv = {RSYNC: daemon.plain_argv(store, work, ports[RSYNC])}
    if any(peer.ours for peer in peers):
        init = [str(allie), "store", "init", "--store", str(store)]
        subprocess.run(init, check=True, stdout=subprocess.DEVNULL)
        ports[ALLIE] = daemon.free_port()
        argv[ALLIE] = daemon.allie_argv(allie, store, ports[ALLIE])
    if any(peer.name == OWN for peer in peers):
        door = stack.enter_context(SshDoor(store))
        door.enrol(overlay.HOST, make_key(work / OWN_KEY))
        ports[OWN] = door.port
    tree = overlay.make(files)
    overlay.write(tree, store / "overlays/common")
    overlay.write(overlay.resolved(tree), work / "source")
    servers = {
        name: stack.enter_context(daemon.serving(argv[name], port, work / f"{port}.log"))
        for name, port in ports.items()
        if name in argv
    }
    sites = {peer.name: site(work, number, ports) for number, peer in enumerate(peers)}
    return World(files, work, list(peers), sites, servers, limit, tree)


def site(work: Path, number: int, ports: dict[str, int]) -> Site:
    own = work / f"pc{number:02}"
    (own / "state").mkdir(parents=True)
    plain, allie = ports[RSYNC], ports.get(ALLIE, 0)
    where = (own / "root", own / "state", work / "store", work / "source")
    return Site(*where, plain, allie, ports.get(OWN, 0))


def play(running: Running, rounds: int) -> Results:
    found: Results = {}
    for number in range(rounds):
        for world in running.worlds:
            began = time.monotonic()
            for case in cases(number, world.files):
                world.play(number, case, found)
            world.rest()
            spent = time.monotonic() - began
            print(
                f"round {number + 1} of {rounds}, {world.files} files: {spent:.0f} s",
                file=sys.stderr,
            )
    return found


def cases(number: int, files: int) -> list[str]:
    """What is played in a round, with so many files."""
    fresh = number == 0 or files <= 500
    found = [case for case in WORK if fresh or case != "first"] if number % WORK_EVERY == 0 else []
    # A PC stays in the state after an update until it is made afresh.
    last = files <= 500 and number % WORK_EVERY == WORK_EVERY - 1
    return [*found, "no-op", *(["updated"] if last else [])]


def server_cost(running: Running, blocks: int) -> Server | None:
    """The server's CPU for a no-op: blocks of pulls by ALLiE and by plain rsync, in turns.

    The kernel says it in hundredths of a second, so it is read once before and once after all.
    """
    for world in running.worlds:
        peers = [peer for peer in world.peers if peer.name in (RSYNC, ALLIE)]
        if world.files == 500 and len(peers) == 2:
            before = {peer.name: daemon.cpu(world.servers[peer.name]) for peer in peers}
            for _ in range(blocks):
                for peer in peers:
                    world.pull(peer, PULLS)
            time.sleep(0.2)  # the daemons wait for their last children
            spent = {name: daemon.cpu(world.servers[name]) - before[name] for name in before}
            return Server(*(spent[name] / (blocks * PULLS) for name in (RSYNC, ALLIE)))
    return None


def conclude(
    args: argparse.Namespace,
    about: list[str],
    running: Running,
    found: Results,
    server: Server | None,
    questions: dict[int, list[str]],
) -> int:
    """Print and write the results; 1 if a budget is not met, or ALLiE did not do its work."""
    held = budgets.all_budgets(found, server, questions)
    sizes = [(world.files, overlay.size(world.tree) / 1e6) for world in running.worlds]
    trees = ", ".join(f"{files:,} files ({megabytes:.1f} MB)" for files, megabytes in sizes)
    text = results.document(
        found,
        about=[*about, f"overlays of {trees}"],
        names=running.names,
        sizes=args.sizes,
        notes=notes(running, server),
        budgets=budgets.table([each for each in held if each.measured or args.full]),
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text)
    status = budgets.say_broken(held, full=args.full)
    for name in (peer.name for peer in all_peers(args.allie) if peer.ours):
        if name in running.missing or not results.honest(found, name):
            print(f"bench: {name} did not do its work: see the last column", file=sys.stderr)
            status = 1
    return status


def versions(peers: Sequence[Peer]) -> str:
    present = [peer for peer in peers if machine.installed(peer)]
    return ", ".join(dict.fromkeys(machine.version(peer) for peer in present))


def notes(running: Running, server: Server | None) -> list[str]:
    found = [f"{name}: not installed, or does not run" for name in running.missing]
    for world in running.worlds:
        found += [f"{name}: {words}" for name, words in world.slow.items()]
    if server:
        figures = f"plain `rsync -a` {server.plain:.1f} ms, ALLiE {server.allie:.1f} ms"
        found.append(f"server CPU for one no-op with 500 files: {figures}")
    return found
