"""Every session in the documentation, typed on real machines as it stands on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from tests.docs.machines import Machines, Said, possible
from tests.docs.pages import DOCS, MANY, TOP, Command, pages, sessions

TUTORIAL = DOCS / "tutorial.md"
HOW_TO = DOCS / "howto"
ASKS_STATUS = "echo $?"

with_sessions = [page for page in pages() if sessions(page) and page != MANY]


class Site(Protocol):
    """Machines by name."""

    def types(self, machine: str, command: str) -> Said:
        """Type a command on one of them."""


@pytest.mark.real
@pytest.mark.root
@pytest.mark.skipif(not possible(), reason="needs root, namespaces, and /usr/bin/python3")
@pytest.mark.parametrize("page", with_sessions, ids=lambda page: page.stem)
def test_the_examples_of(page: Path, tmp_path: Path) -> None:
    before = sessions(TUTORIAL) if page.is_relative_to(HOW_TO) else []
    with Machines(tmp_path) as machines:
        type_all(machines, before, TUTORIAL)
        type_all(machines, sessions(page), page)


def type_all(machines: Site, commands: list[Command], page: Path) -> None:
    """Type the commands of a page; each says what the page shows."""
    after = [*commands[1:], Command("", "", "")]
    for command, following in zip(commands, after):
        said = machines.types(command.machine, command.text)
        where = f"{page.relative_to(TOP)}: {command.machine}# {command.text}"
        good = said.status == 0 or following.text == ASKS_STATUS
        assert good, f"{where}\nexit {said.status}\n{said.out}"
        shown = command.shown.strip()
        assert not shown or command.says(said.out), f"{where}\nshows\n{shown}\nsays\n{said.out}"


def test_what_the_pages_show_is_compared() -> None:
    command = Command("pc07", "allie status", "tick …: nothing to do\n  satisfied  …\n")
    assert command.says("tick 12: nothing to do\n  satisfied    for 3 s\n")
    assert not command.says("tick 12: 1 new\n  satisfied for 3 s\n")
