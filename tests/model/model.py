"""What the model thinks of a path: what wins in the store, and what a tick makes of it.

The model knows nothing of ledgers, plans or mirrors. It keeps, for each path, the set of states in
which the path may be (a kill leaves two), and `ticked` is all that it knows of a tick.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

# What stands at a path: ("f", content, mode), ("l", target), ("d", inside), or None
Node = Optional[tuple[Any, ...]]


class Mine(NamedTuple):
    """What the model remembers of a path that ALLiE answers for."""

    placed: Node
    flag: str
    pristine: Node


State = tuple[Node, Optional[Mine]]
HELD = "held"  # a tie: what stands there stays


def ticked(state: State, winner: Any, package: str | None = None) -> State:
    """THE model: what a tick makes of one path.

    winner: (flag, node), None or HELD. package: the content that a package has for the path.
    """
    stands, mine = state
    if winner == HELD or (winner is None and mine is None):
        return state
    if winner is None:
        assert mine
        ours = stands in (mine.placed, None)
        if stands and stands[:2] == ("f", package) and not mine.pristine:
            return stands, None  # a package's file, which would stand there without us
        return (mine.pristine if ours else stands), None
    flag, node = winner
    if mine and stands != mine.placed and stands and stands[:2] == ("f", package):
        mine = mine._replace(pristine=stands)  # the package's newer file: superseded
    pristine = mine.pristine if mine else stands
    if flag == "absent":
        return None, Mine(None, flag, pristine)
    if flag == "once" and stands is not None:
        return stands, mine._replace(flag=flag) if mine else None
    if stands and stands[0] == "d":
        return state  # a directory of somebody's does not make way
    return node, Mine(node, flag, pristine)


# --- the store ----------------------------------------------------------------------------------

OVERLAYS = ("one", "two", "three")
LONG = "n" * 235  # with the longest tag, a name of 255 bytes
PATHS = (
    "etc/a",
    "etc/.a",
    "etc/sub/b",
    "etc/sub/#c d",
    "etc/sub/deep/new\nline",
    "etc/sub/deep/.dot",
    "etc/sub/deep/dot",
    "etc/\udcff",
    "srv/x;y",
    f"etc/{LONG}",
    f"etc/.{LONG[1:]}",
    "home/ann/.conf/mine",
    "etc/way/only",
)
# Where `etc/way`, which may be a link of root's, leads to; or it is a directory
WAY, ENDS = "etc/way", ("etc/end1", "etc/end2")
# All places at which something may come to stand
PLACES = (*PATHS, *(f"{end}/only" for end in ENDS))
# tag → (conditions that must hold, flag)
TAGS: dict[str, tuple[tuple[str, ...], str]] = {
    "": ((), ""),
    "##host.pc1": (("pc1",), ""),
    "##host.pc2": (("pc2",), ""),
    "##class.lab": (("lab",), ""),
    "##class.lab,host.pc1": (("lab", "pc1"), ""),
    "##absent": ((), "absent"),
    "##host.pc1,absent": (("pc1",), "absent"),
    "##once": ((), "once"),
    "##class.lab,once": (("lab",), "once"),
}
NODES: tuple[Node, ...] = (
    ("f", "A", 0o644),
    ("f", "B", 0o644),
    ("f", "A", 0o600),
    ("f", "longer\n", 0o755),
    ("l", "a"),
    ("l", "/nowhere"),
    ("l", "sub"),
)


class Spelled(NamedTuple):
    """One file of an overlay: the path it is for, and how its name says so."""

    path: str
    tag: str
    on_directory: bool  # the tag is its directory's

    @property
    def name(self) -> str:
        """Its path in the overlay."""
        above, _, last = self.path.rpartition("/")
        return f"{above}{self.tag}/{last}" if self.on_directory else self.path + self.tag


Overlays = dict[str, dict[Spelled, Node]]


def winner_of(overlays: Overlays, path: str, facts: frozenset[str]) -> Any:
    """The reference for tags: hosts before classes, later overlays before earlier ones."""
    found: Any = None
    for overlay in OVERLAYS:
        fits = []
        for spelled, node in overlays[overlay].items():
            conditions, flag = TAGS[spelled.tag]
            if spelled.path == path and facts.issuperset(conditions):
                hosts = sum(each.startswith("pc") for each in conditions)
                fits.append(((hosts, len(conditions) - hosts), flag, node))
        fits.sort(key=lambda each: each[0])
        if len(fits) > 1 and fits[-1][0] == fits[-2][0]:
            found = HELD
        elif fits:
            found = fits[-1][1:]
    return found
