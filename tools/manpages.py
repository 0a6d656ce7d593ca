"""Make the man pages from src/allie/man/*.md: `tools/manpages.py DIR` writes DIR/allie.8, ….

The Markdown is that of our manual alone, which `allie help` shows as well (cli/manual.py):
`% TITLE`, `# HEADING`, paragraphs, `term` and `:   what it is`, lists, and lines that stand four
blanks in and are shown as they are. Needs Python alone, and so does whoever builds a package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PAGES = TOP / "src" / "allie" / "man"

_TITLE = re.compile(r"% (?P<name>.+)\((?P<section>\d)\) \| (?P<manual>.+)")
_INLINE = re.compile(r"\\(?P<plain>.)|\*\*(?P<bold>.+?)\*\*|\*(?P<italic>.+?)\*", re.DOTALL)
# What begins a piece of a block: what a term is, an item, a line that was broken on purpose
_PIECE = re.compile(r"\\\n|\n(?=:   | *- )")
_SPECIAL = {"\\": r"\e", "-": r"\-", "~": r"\(ti", "^": r"\(ha", "'": r"\(aq", "`": r"\(ga"}
_INDENT = 4  # columns, of what stands below a term


def roff(markdown: str, version: str) -> str:
    """A page of ours as man(7) has it."""
    title, _, body = markdown.partition("\n")
    found = _TITLE.fullmatch(title)
    if not found:
        raise ValueError(f"{title!r} is not % NAME(8) | MANUAL")
    head = f'.TH {found["name"]} {found["section"]} "" "ALLiE {version}" "{found["manual"]}"'
    return "\n".join([head, ".nh", ".ad l", *_body(body)]) + "\n"


def _body(text: str) -> Iterator[str]:
    """The lines of all blocks; a block that stands in belongs to the term before it."""
    below_term = False
    after_heading = False
    for block in re.split(r"\n{2,}", text.strip("\n")):
        stands_in = block.startswith(" ")
        if block.startswith("# "):
            yield f".SH {_text(block[2:])}"
            below_term = False
        elif stands_in and below_term:
            yield from (".RS", *_paragraphs(block), ".RE")
        else:
            below_term = "\n:   " in block
            if not (after_heading or below_term or block.startswith("- ")):
                yield ".PP"  # the others make their own distance
            yield from _as_it_is(block) if stands_in else _paragraphs(block)
        after_heading = block.startswith("# ")


def _paragraphs(block: str) -> Iterator[str]:
    """A term with what it is, a list, or a paragraph."""
    has_term = "\n:   " in block
    for number, piece in enumerate(_PIECE.split(block)):
        text = " ".join(re.sub("^:? +", "", piece).split())
        if text.startswith("- "):
            yield from (r".IP \(bu 2", _text(text[2:]))
            continue
        if has_term and number == 0:
            yield ".TP"
        elif number and not piece.startswith(":"):
            yield ".TQ" if has_term else ".br"
        yield _text(text)


def _as_it_is(block: str) -> Iterator[str]:
    lines = (_begun(_escaped(line[_INDENT:])) for line in block.split("\n"))
    yield from (f".RS {_INDENT}", ".nf", *lines, ".fi", ".RE")


def _text(markdown: str) -> str:
    """A text with its marks; a line of roff must not begin with a dot or a quote."""
    made = ""
    end = 0
    for found in _INLINE.finditer(markdown):
        made += _escaped(markdown[end : found.start()])
        if found["plain"]:
            made += _escaped(found["plain"])
        else:
            font, text = ("B", found["bold"]) if found["bold"] else ("I", found["italic"])
            made += rf"\f{font}{_escaped(text)}\fR"
        end = found.end()
    return _begun(made + _escaped(markdown[end:]))


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _begun(line: str) -> str:
    return rf"\&{line}" if line.startswith((".", "'")) else line


def main(folder: str) -> None:
    """Write all pages there, and say which."""
    text = (TOP / "src/allie/__init__.py").read_text()
    version = text.partition('__version__ = "')[2].partition('"')[0]
    there = Path(folder)
    there.mkdir(parents=True, exist_ok=True)
    for page in sorted(PAGES.glob("*.md")):
        made = there / page.stem
        made.write_text(roff(page.read_text(encoding="utf-8"), version), encoding="utf-8")
        print(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
