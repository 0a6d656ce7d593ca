"""Completion in real shells: all that the parsers know is offered, and what the machine has."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Union

import pytest

from allie.cli import main, manual, parsing
from tests.packaging import shells
from tests.packaging.shells import AtTerminal, Fish
from tests.worlds.toy import make_tree

TOP = Path(__file__).parents[2]
NAMES = {"bash": "allie", "zsh": "_allie", "fish": "allie.fish"}
VERBS = [verb for verb, (_, what) in main.VERBS.items() if what]
Shell = Union[AtTerminal, Fish]


@cache
def made(shell: str) -> str:
    """The file as it is built."""
    return subprocess.run(
        [sys.executable, "-m", "tools.completion", shell],
        cwd=TOP,
        env={"PYTHONPATH": str(TOP / "src"), "ALLIE_STORE": "/of/the/builder"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module", params=NAMES)
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shell]:
    """Each shell in turn, on a PC with two systems that is a server, too."""
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    script = folder / NAMES[name]
    script.write_text(made(name))
    conf = "[allie]\nstore = /srv/s\n[system debian12]\nimage = d\n[system el7]\nroot = /el7\n"
    make_tree(
        folder / "at",
        {
            "store/overlays/common/f": "",
            "store/overlays/kit/f": "",
            "store/images/rescue/f": "",
            "store/private/pc07/f": "",
            "other/overlays/there/f": "",
            "pc/etc/allie/allie.conf": conf,
            "pc/root/conf/00overlay": "",
            "pc/root/conf/50tree": "",
            "pc/root/conf/README": "",
        },
    )
    env = {"HOME": str(folder), "LANG": "C.UTF-8", "ALLIE_STORE": str(folder / "at/store")}
    here = os.getcwd()
    os.chdir(folder / "at")
    ready: AbstractContextManager[Shell]
    ready = (
        nullcontext(Fish(script, env)) if name == "fish" else shells.at_terminal(name, script, env)
    )
    try:
        with ready as shell:
            yield shell
    finally:
        os.chdir(here)


def commands_of(verb: str) -> dict[str, argparse.ArgumentParser]:
    """Each command line of a verb that takes options of its own, with the parser that reads it."""
    module = main.module_of(verb)
    actions = getattr(module, "ACTIONS", {})
    if actions:
        return {f"{verb} {word}": parsing.parser_of(verb, each) for word, each in actions.items()}
    parser = parsing.parser_of(verb, module)
    return {f"{verb} {word}": parser for word in actions_in(parser)} or {verb: parser}


def actions_in(parser: argparse.ArgumentParser) -> list[str]:
    """The actions that a parser knows."""
    found = [list(each.choices or ()) for each in parser._actions if each.dest == "action"]
    return found[0] if found else []


def test_every_verb_is_offered(shell: Shell) -> None:
    assert shell.offers("allie ") == set(VERBS)
    assert shell.offers("allie st") == {"status", "store"}
    assert {"--root", "--system", "--store", "--version"} <= bare(shell.offers("allie --"))


def bare(offered: set[str]) -> set[str]:
    """zsh offers `--root=`."""
    return {each.rstrip("=") for each in offered}


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_and_action_of_a_verb_is_offered(shell: Shell, verb: str) -> None:
    actions = actions_in(parsing.parser_of(verb, main.module_of(verb)))
    if actions:
        assert shell.offers(f"allie {verb} ") == set(actions)
    every = commands_of(verb)
    known = {
        option
        for parser in every.values()
        for option, action in parser._option_string_actions.items()
        if option.startswith("--") and action.help != argparse.SUPPRESS
    }
    offered = set[str]().union(*(bare(shell.offers(f"allie {words} --")) for words in every))
    assert {each for each in offered if each.startswith("--")} == known


def test_an_option_is_offered_for_its_own_action(shell: Shell) -> None:
    assert "--bwlimit" in bare(shell.offers("allie image capture --"))
    assert "--bwlimit" not in bare(shell.offers("allie image list --"))
    assert bare(shell.offers("allie image import x --inc")) == {"--include"}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("allie help ", set(manual.PAGES)),
        ("allie vm --accel ", {"auto", "kvm", "tcg"}),
        ("allie rsync-image ", {"image", "overlay"}),
        ("allie overlay list ", {"common", "kit"}),
        ("allie overlay list common k", {"kit"}),
        ("allie --store other overlay list ", {"there"}),
        ("allie overlay lint --store other ", {"there"}),
        ("allie overlay lint --over ", {"rescue"}),
        ("allie image remove ", {"rescue"}),
        ("allie --root pc enter ", {"debian12", "el7"}),
        ("allie --root pc system update ", {"debian12", "el7"}),
        ("allie status --root pc --system e", {"el7"}),
        ("allie run-conf --root pc ", {"00overlay", "50tree"}),
        ("allie undo ", set()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_machine_has_is_offered(shell: Shell, line: str, offered: set[str]) -> None:
    assert shell.offers(line) == offered


def test_a_list_with_commas_goes_on(shell: Shell) -> None:
    offered = shell.offers("allie overlay why /f --overlays kit,c")
    assert {each.rpartition(",")[2] for each in offered} == {"common"}


def test_directories_are_offered(shell: Shell) -> None:
    offered = {each.rstrip("/") for each in shell.offers("allie --store o")}
    assert offered == {"other"}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_same_whoever_builds_it(name: str) -> None:
    assert "/srv/allie" in made(name)
    assert "/of/the/builder" not in made(name)
