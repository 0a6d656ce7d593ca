"""The pages, as they are before a browser fills them: shells with the counts in them.

Nothing in them is from a report: numbers, words of our own, and names of our own files.
"""

from __future__ import annotations

import functools
import html
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import allie
from allie.core import digest
from allie.machine.files import atomic
from allie.server.fleet.fleet import ATTENTION, STATES, Fleet

FORMAT = 1  # of the data: a page that is open while ALLiE is upgraded is loaded again
_HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "assets")
_OVERVIEW, _DETAILS = "index.html", "details.html"
# What is loaded on demand: page → its title without JavaScript, and the command that says the same
_PAGES = {
    "host": ("A PC", "allie fleet HOST"),
    "script": ("A script", "allie fleet --script NAME"),
    "path": ("A path that was changed by hand", "allie fleet --log PATH"),
}
_LOADED = ("allie.css", "allie.js", "overview.js", "picture.js", "table.js", "details.js")
_MAKES, _APART, _LONGEST = 16, 60, 86400  # that are kept; seconds between two; of a pace
_HEAD, _SIGNS = "head.html", "signs.svg"


def assets() -> dict[str, bytes]:
    """Styles and scripts, each under a name that says which one it is: allie-1f0c….css."""
    found = {}
    for name in _LOADED:
        data = _text(name).encode()
        stem, end = name.split(".")
        found[f"{stem}-{digest.of(data)[:10]}.{end}"] = data
    return found


def pages(fleet: Fleet, loaded: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Each page by name. loaded: what `assets` has found."""
    named = {f"@{name.partition('-')[0]}.{name.rpartition('.')[2]}@": name for name in loaded}
    words = {
        "@head@": _text(_HEAD),
        "@signs@": _text(_SIGNS),
        **named,
        "@format@": str(FORMAT),
        "@version@": html.escape(allie.__version__),
        "@made@": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(fleet.now)),
        "@total@": f"{len(fleet.pcs):,}",
        "@counts@": _counts(fleet),
    }
    yield _OVERVIEW, _filled(_OVERVIEW, words)
    for page, (title, command) in _PAGES.items():
        own = {"@page@": page, "@title@": title, "@command@": command}
        yield f"{page}.html", _filled(_DETAILS, {**words, **own})


def _filled(template: str, words: Mapping[str, str]) -> bytes:
    text = _text(template)
    for word, value in words.items():
        text = text.replace(word, value)
    return text.encode()


def made(fleet: Fleet, data: Iterable[bytes], before: Mapping[str, Any]) -> dict[str, Any]:
    """When the site was made and of what, with a digest by which a page sees that there is news.

    before: the same of the last time. `every` is the span between two makes that was there twice
    lately: so neither a look by hand nor one night without power is taken for its pace. 0: unknown.
    """
    at, news = int(fleet.now), digest.of(b"".join(data))[:16]
    former = [each for each in before.get("makes", ()) if isinstance(each, int)]
    makes = [*(each for each in former if each <= at - _APART), at][-_MAKES:]
    spans = sorted(later - one for one, later in zip(makes, makes[1:]))
    every = min(spans[-2], _LONGEST) if len(spans) > 1 else 0
    named = {"format": FORMAT, "at": at, "store": fleet.store, "news": news}
    return {**named, "makes": makes, "every": every}


def _counts(fleet: Fleet) -> str:
    """How many PCs stand how, as links that filter the table."""
    counted = Counter(pc.state for pc in fleet.pcs)
    lines = []
    for state in (each for each in STATES if counted[each]):
        needs = ' class="needs"' if state in ATTENTION else ""
        sign = f'<svg class="sign s-{state}" aria-hidden="true"><use href="#sign-{state}"/></svg>'
        link = f'<a href="#state={state}" data-state="{state}"{needs}>'
        lines.append(f"<li>{link}<b>{counted[state]:,}</b> {sign} {state}</a></li>")
    return "\n".join(lines)


@functools.cache
def _text(name: str) -> str:
    return atomic.read(os.path.join(_HERE, name)) or ""
