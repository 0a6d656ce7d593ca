"""Read the documentation: its pages, their links, and the commands that readers are to type.

A block marked `console` is a session. A line that begins with a prompt is typed on that machine;
`> ` goes on with it; what follows is what the machine says, where `…` stands for anything.

    ```console
    server# allie store init
    …
    pc07# cat > /etc/motd <<'END'
    > Hello
    > END
    ```
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
MAN = TOP / "src" / "allie" / "man"
MANY = DOCS / "howto/many-at-once.md"  # typed on more machines than the others

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"(server|pc\d\d)# (.*)")
_LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


class Command(NamedTuple):
    """One thing to type, and what the page says that it prints."""

    machine: str
    text: str
    shown: str

    def says(self, output: str) -> bool:
        """Whether this output is the one that the page shows; `…` stands for anything."""
        pieces = [re.escape(" ".join(piece.split())) for piece in self.shown.split("…")]
        pattern = r"\s*.*?\s*".join(piece.replace(r"\ ", r"\s+") for piece in pieces)
        return bool(re.fullmatch(rf"\s*{pattern}\s*", output, re.DOTALL))


def pages() -> list[Path]:
    """The README and every page of docs/, man pages not included."""
    return [TOP / "README.md", *sorted(DOCS.rglob("*.md"))]


def sessions(page: Path) -> list[Command]:
    """The commands of a page, in order."""
    found: list[Command] = []
    for kind, body in _FENCE.findall(page.read_text()):
        if kind == "console":
            found += _commands(body, page)
    return found


def _commands(body: str, page: Path) -> list[Command]:
    found: list[Command] = []
    for line in body.splitlines():
        typed = _PROMPT.fullmatch(line)
        if typed:
            found.append(Command(typed.group(1), typed.group(2), ""))
            continue
        if not found:
            raise ValueError(f"{page}: {line!r} comes before any prompt")
        last = found[-1]
        if line.startswith("> ") or line == ">":
            found[-1] = last._replace(text=f"{last.text}\n{line[2:]}")
        else:
            found[-1] = last._replace(shown=f"{last.shown}{line}\n")
    return found


def prose(page: Path) -> str:
    """The text of a page without its blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Where a page's links go."""
    return _LINK.findall(prose(page))


def headings(page: Path) -> list[str]:
    """The headings of a page, as they stand on it."""
    return _HEADING.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Markdown's readers make them."""
    found = set()
    for heading in headings(page):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(plain.replace(" ", "-"))
    return found
