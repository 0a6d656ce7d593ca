"""Show a manual page: `allie help`, `allie help conf`, `allie help enter`, …

On a terminal in a pager ($PAGER, less or more); else as plain text.
"""

from __future__ import annotations

import pkgutil
import re
import sys

from allie.cli import main
from allie.cli.options import ArgumentParser, Namespace
from allie.core.errors import DONE, UsageError, did_you_mean
from allie.machine import console
from allie.machine.programs import pager

PAGES = {
    "allie": "allie.8.md",
    "system": "allie-system.8.md",
    "enter": "allie-enter.8.md",
    "run-conf": "allie-run-conf.8.md",
    "image": "allie-image.8.md",
    "store": "allie-store.8.md",
    "fleet": "allie-fleet.8.md",
    "conf": "allie.conf.5.md",
    "tags": "allie-tags.7.md",
}
_WIDEST, _NARROWEST = 80, 30  # columns
_INDENT = 4
_INLINE = r"\\(?P<plain>.)|\*\*(?P<bold>.+?)\*\*|\*(?P<line>.+?)\*"
_MARKS = {"plain": "", "bold": "bold", "line": "line"}


def add_arguments(parser: ArgumentParser) -> None:
    """Which page."""
    parser.add_argument("page", nargs="?", default="allie", help=", ".join(PAGES))


def run(args: Namespace) -> int:
    """Show the page; where there is no pager, print it."""
    name = re.sub(r"^allie[-.]|\(\d\)$", "", args.page)  # also as pages name one another
    if name not in PAGES:
        hint = f"allie {name} --help" if name in main.VERBS else did_you_mean(name, PAGES)
        hint = hint or f"pages: {', '.join(PAGES)}; or COMMAND --help"
        raise UsageError(f"there is no page {args.page!r}", hint)
    text = (pkgutil.get_data("allie", f"man/{PAGES[name]}") or b"").decode()
    lines = rendered(text, max(_NARROWEST, min(console.columns(), _WIDEST)))
    if sys.stdin.isatty() and console.is_screen(sys.stdout):
        pager.become(console.as_shown(lines))  # comes back only where that cannot be
    for line in lines:
        console.say(line)
    return DONE


def rendered(text: str, columns: int) -> list[str]:
    """A page, in the Markdown of our manual, as lines for people.

    That is: `% TITLE`, `# HEADING`, paragraphs, `term` and `:   what it is`, lists, and lines that
    stand four blanks in and are shown as they are.
    """
    title, _, body = text.partition("\n")
    lines = [console.paint(title.lstrip("% ").replace(" | ", " - "), "bold")]
    defines = False  # whether we are in what a term is
    below_heading = False
    for block in re.split(r"\n{2,}", body.strip("\n")):
        lines += [] if below_heading else [""]
        below_heading = block.startswith("# ")
        if below_heading:
            defines = False
            lines.append(console.paint(block[2:], "bold"))
        elif block.startswith("    ") and not defines:
            lines += [" " * _INDENT + line for line in block.split("\n")]
        else:
            defines = (defines and block.startswith(" ")) or "\n:   " in block
            lines += _paragraphs(block, columns)
    return lines


def _paragraphs(block: str, columns: int) -> list[str]:
    """A term with what it is, a list, or a paragraph: each wrapped to the width."""
    lines = []
    for piece in re.split(r"\\\n|\n(?=:   | *- )", block):
        inner = 2 * _INDENT if piece.startswith((":", " ")) else _INDENT
        text = re.sub("^:? +", "", piece)
        lines += _wrapped(text, inner, columns, hang=2 * text.startswith("- "))
    return lines


def _wrapped(text: str, indent: int, columns: int, *, hang: int) -> list[str]:
    lines: list[str] = []
    size = columns
    for width, word in _words(" ".join(text.split())):
        if size + 1 + width > columns:
            blank = " " * (indent + (hang if lines else 0))
            lines.append(blank + word)
            size = len(blank) + width
        else:
            lines[-1] += f" {word}"
            size += 1 + width
    return lines


def _words(text: str) -> list[tuple[int, str]]:
    """The words of a text, with how wide each is on the screen."""
    words = [(0, "")]
    for piece, look in _pieces(text):
        for number, plain in enumerate(piece.split(" ")):
            if number:
                words.append((0, ""))
            width, word = words[-1]
            words[-1] = width + len(plain), word + (console.paint(plain, look) if plain else "")
    return [each for each in words if each[0]]


def _pieces(text: str) -> list[tuple[str, str]]:
    """A text in pieces, each with how it looks."""
    pieces = []
    end = 0
    for found in re.finditer(_INLINE, text):
        kind = str(found.lastgroup)
        pieces += [(text[end : found.start()], ""), (found[kind], _MARKS[kind])]
        end = found.end()
    return [*pieces, (text[end:], "")]
