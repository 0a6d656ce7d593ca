#!/usr/bin/env python3
"""`bench/images.py`: bringing an image to a PC, against the other ways to do so; bench/README.md.

Needs root. It works in mount and network namespaces of its own: its wire is its own loopback, where
the kernel counts the bytes. Nothing outside its working directory is written but bench/IMAGES.md,
the cache of Debian images, and packages with --install.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of bench/ itself

from bench import debian, machine, root, wire  # noqa: E402
from bench.image_peers import (  # noqa: E402
    ALIKE,
    ALLIE,
    FETCH,
    RSYNC,
    SECOND,
    SYNCED,
    TUNED,
    ZSTD,
    Way,
    all_ways,
)
from bench.image_play import FEW, MANY, Play, flat  # noqa: E402
from bench.image_results import Found, document, versions  # noqa: E402
from bench.image_store import NEW, OLD, Store, many_files, serving  # noqa: E402

TOP = Path(__file__).resolve().parents[1]
BUDGETED = (
    RSYNC,
    TUNED,
    ZSTD,
    SYNCED,
    SECOND,
    ALIKE,
    ALLIE,
    FETCH,
)  # always there: ratios are to them


def main() -> int:
    args = arguments()
    if os.geteuid() != 0:
        print("bench: needs root, for chroot and namespaces of its own", file=sys.stderr)
        return 2
    words = [word.lower() for word in args.only or [""]]
    ways = [
        w
        for w in all_ways(args.allie)
        if w.name in BUDGETED or any(x in w.name.lower() for x in words)
    ]
    programs = [program for way in ways for program in way.programs]
    if args.install:
        machine.install(list(dict.fromkeys(programs)))
    work = root.workplace(Path(args.dir))
    if not args.keep:
        root.on_ext4(work)
    about = [*machine.describe(work), versions(programs)]
    try:
        found = run(args, ways, work)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        if not args.keep:
            root.remove(work)
    text, broken = document(found, about, ways)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text)
    return 1 if broken else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="bringing an image, and the ways to do it")
    parser.add_argument("--rounds", type=int, help="rounds of each case; 3, quick 1")
    parser.add_argument("--quick", action="store_true", help="one round, without casync")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these, rsync and ALLiE")
    parser.add_argument("--install", action="store_true", help="install missing peers with apt-get")
    parser.add_argument("--allie", default=TOP / ".venv/bin/allie", type=Path, metavar="PROGRAM")
    parser.add_argument("--dir", default=TOP / "build/bench-images", metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="FILE", help="of a full run bench/IMAGES.md")
    parser.add_argument("--keep", action="store_true", help="work in DIR itself, and leave it")
    args = parser.parse_args()
    full = not (args.quick or args.only or args.rounds)
    args.allie = args.allie.absolute()
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.out = args.out or (TOP / "bench" if full else Path(args.dir)) / "IMAGES.md"
    return args


def run(args: argparse.Namespace, ways: list[Way], work: Path) -> Found:
    present = [way for way in ways if all(map(machine.installed, way.programs))]
    store = Store(work, [way.name for way in present])
    command = [args.allie, "store", "init", "--store", store.top]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    pair = debian.both(work)  # the last that needs the network
    pair.old.rename(store.tree(OLD))
    pair.new.rename(store.tree(NEW))
    for files in (FEW, MANY):
        many_files(store.images / f"files-{files}", files)
    wire.own_network()
    store.prepare()
    store.show(OLD)
    with serving(store, args.allie, [way.server for way in present]) as servers:
        play = Play(work, store, servers)
        results = play.rounds(present, args.rounds)
        return Found(results, play.memory(flat(present)), store.preparations(), pair.words)


if __name__ == "__main__":
    sys.exit(main())
