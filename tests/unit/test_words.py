"""Words for people: what was probably meant, command lines that are wrong, pages of the manual."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.cli import main, manual
from allie.core.errors import PathRefused, StateError, did_you_mean, words_of
from allie.machine import console
from allie.machine.programs import signals
from tests.docs.test_docs_complete import MAN_PAGES

STORE_ACTIONS = ("init", "setup", "serve", "enrol", "retire", "private", "mirror")
COMMANDS = [name for name, (_, what) in main.VERBS.items() if what]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("satus", "status"),
        ("stauts", "status"),
        ("lgo", "log"),
        ("runconf", "run-conf"),
        ("stat", "status"),
        ("images", "image"),
        ("overlya", "overlay"),
        ("nonsense", ""),
        ("st", "store"),
        ("x", ""),
    ],
)
def test_what_was_probably_meant(word: str, meant: str) -> None:
    assert did_you_mean(word, COMMANDS) == (f"did you mean {meant}?" if meant else "")


def test_help_names_what_is_the_servers(capsys: pytest.CaptureFixture[str]) -> None:
    """As the client has it, or not (`server.kit`)."""
    assert main.main(["--help"]) == 0
    shown = capsys.readouterr().out.partition("On the server:\n")[2].partition("\n\n")[0]
    modules = {
        name: Path(main.__file__).with_name(f"{main.VERBS[name][0]}.py") for name in COMMANDS
    }
    servers = [n for n in COMMANDS if n == "store" or "allie.server" in modules[n].read_text()]
    assert [line.split()[0] for line in shown.splitlines()] == servers


@given(st.sampled_from(COMMANDS), st.integers(0, 20), st.sampled_from("abcxyz-"))
def test_one_letter_that_is_wrong_finds_the_command(name: str, at: int, letter: str) -> None:
    at %= len(name)
    for word in (name[:at] + letter + name[at + 1 :], name[:at] + letter + name[at:]):
        assert did_you_mean(word, COMMANDS), word
    assert did_you_mean(name, COMMANDS) == f"did you mean {name}?"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/x"), "No space left on device"),
        (OSError("odd"), "odd"),
        (PathRefused("/x is a mount point"), "/x is a mount point"),
        (PathRefused("/x", "leave it"), "/x (leave it)"),
        (ValueError("bad"), "bad"),
    ],
)
def test_the_words_of_an_error(error: Exception, words: str) -> None:
    assert words_of(error) == words


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("satus", "there is no command 'satus' | did you mean status?"),
        ("frobnicate", "there is no command 'frobnicate' | allie --help lists them"),
        ("--root", "--root needs a value | allie --root … COMMAND"),
        ("--json status", "--json: that goes after the command | allie COMMAND --help"),
        (
            "system lst",
            "action 'lst' is none of list, add, update, rollback, remove | did you mean list?",
        ),
        ("system frob", "action 'frob' is none of list, add, update, rollback, remove"),
        ("overlay", "`allie overlay` needs one of its actions | allie overlay list|lint|why"),
        ("install", "`allie install` needs --disk, --image, --store | allie install --help"),
        ("join", "`allie join` needs STORE | allie join --help"),
        (
            "join /srv/allie --overlay=kit --imag=x --hots=y",
            "allie join has no option --hots | did you mean --host?",
        ),
        ("why", "`allie why` needs PATH | allie why --help"),
        ("log -v", "allie log has no option -v | allie log --help"),
        ("log -json", "allie log has no option -json | did you mean --json?"),
        ("tick", "there is no command 'tick' | did you mean run-conf?"),
        ("serve", "there is no command 'serve' | did you mean store serve?"),
        ("status now", "allie status: now is too much | allie status --help"),
        ("log -n many", "-n 'many' is no number | allie log --help"),
        ("undo last", "tick 'last' is no number | allie undo --help"),
        ("undo ٣", "tick '٣' is no number"),
        ("log -n 1_0", "-n '1_0' is no number"),
        ("vm el7 --memory ١٠٢٤", "--memory '١٠٢٤' is no number"),
        ("offer / --port ٨٧٣", "--port '٨٧٣' is no number"),
        ("store serve --port abc", "--port 'abc' is no number"),
        ("store serve --port 0", "0 is no port | one from 1 to 65535"),
        ("store setup --ssh-port 65536", "65536 is no port | one from 1 to 65535"),
        ("store enrol --scan pc07 --port=-1", "-1 is no port | one from 1 to 65535"),
        ("store serve --address=", "--address names none | leave it out"),
        ("pause --for", "--for needs a value | allie pause --help"),
        ("help tgas", "there is no page 'tgas' | did you mean tags?"),
        ("help undo", "there is no page 'undo' | allie undo --help"),
        ("help x", "there is no page 'x' | pages: allie, system, enter"),
        ("vm el7 --accel kmv", "--accel 'kmv' is none of auto, kvm, tcg | did you mean kvm?"),
        ("vm el7 --root /x", "allie vm is for the machine that it runs on: it has no --root"),
        ("boot --root=/x", "allie boot is for the machine that it runs on: it has no --root"),
        ("store serv", "retire, private, mirror | did you mean serve?"),
        ("enter", "enter which system? | allie enter SYSTEM"),
        ("enter --usr root el7", "there is no option --usr | allie enter --help"),
    ],
)
def test_a_command_line_that_is_wrong(
    typed: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(typed.split()) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line.strip() for line in captured.err.splitlines()]
    assert lines[0].startswith("allie: ")
    assert len(lines) == 2, lines
    assert said in " | ".join(lines)


@pytest.mark.parametrize("meant", sorted(set(main.CALLED_OTHERWISE.values())))
def test_what_is_called_otherwise_is_a_command(
    meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *action = meant.split()
    assert main.main([verb, "--help"]) == 0
    assert all(each in capsys.readouterr().out for each in action)


@pytest.mark.parametrize("verb", [*COMMANDS, *(f"store {each}" for each in STORE_ACTIONS)])
def test_help_fits_a_terminal(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each line, and none of its words is lost by that."""
    said = []
    for columns in (80, 200):
        monkeypatch.setattr(console, "columns", lambda columns=columns: columns)
        assert main.main([*verb.split(), "--help"]) == 0
        said.append(capsys.readouterr().out)
    assert [line for line in said[0].splitlines() if len(line) > 80] == []
    assert sorted(said[0].split()) == sorted(said[1].split())


@pytest.mark.parametrize("columns", [30, 80])
@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: page.name)
def test_a_page_is_shown_as_a_page(
    page: Path, columns: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every word of it, none of the Markdown, and no line that is wider than need be."""
    text = page.read_text()
    for line in manual.rendered(text, columns):
        console.say(line)
    shown = capsys.readouterr().out
    assert not re.search(r"\*\*\w|^#|^:  |^%|\\[*\\]", shown, re.MULTILINE)
    examples = {line.strip() for line in re.findall("^    .*", text, re.MULTILINE)}
    wide = [line for line in shown.splitlines() if len(line) > columns and " " in line.strip()]
    assert not [line for line in wide if line.strip() not in examples and len(line) > 80]
    plain = re.sub(r"\\(\s|.)|\*\*|\*|^%|^# |^: ", r"\1", text, flags=re.MULTILINE)
    known = _letters(shown)
    for word in plain.split():
        assert _letters(word) in known, word


def _letters(text: str) -> str:
    """A text without what only stands between the words of some lines."""
    return re.sub(r"[\s|*-]", "", text)


@pytest.mark.parametrize(
    ("term", "no_colour", "terminal", "coloured"),
    [
        ("xterm", None, True, True),
        ("dumb", None, True, False),
        ("xterm", "1", True, False),
        ("xterm", None, False, False),
    ],
)
def test_each_stream_has_colours_if_it_takes_them(
    term: str,
    no_colour: str | None,
    terminal: bool,
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What goes to a file has none because the other stream is a terminal."""
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: not terminal)
    console.warn(console.paint("bad news", "bad"))
    assert ("\x1b" in capsys.readouterr().err) == coloured
    monkeypatch.setattr(console, "_AFTER", -1.0)
    assert bool(console.progress("x")[1]) == (terminal and term != "dumb")


@pytest.mark.parametrize(
    ("typed", "goes_on"),
    [
        ("run-conf", "; the next tick goes on from here"),
        ("00overlay", "; the next tick goes on from here"),
        ("undo", "; the next tick goes on from here"),
        ("--root /x join /srv/allie", "; the same command goes on from here"),
        ("system update x", "; the same command goes on from here"),
        ("image import a b", "; the same command goes on from here"),
        (
            "store --store /x mirror rsync://s",
            "; the same command, or the timer, goes on from here",
        ),
        ("status", ""),
        ("log", ""),
        ("store init", ""),
    ],
)
def test_how_it_goes_on_after_ctrl_c(
    typed: str, goes_on: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(_words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main, "_dispatch", pressed)
    assert main.main(typed.split()) == 130
    assert capsys.readouterr().err == f"allie: interrupted{goes_on}\n"


def test_an_error_while_it_is_interrupted_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """argparse puts back in the end what it may not have put aside yet."""

    def pressed(_words: list[str]) -> int:
        try:
            raise signals.Stopped(15)
        finally:
            try:
                raise AttributeError("save_nargs")
            finally:
                raise AttributeError("save_default")

    monkeypatch.setattr(main, "_dispatch", pressed)
    assert main.main(["status"]) == 128 + 15
    assert capsys.readouterr().err == "allie: interrupted\n"


def refused() -> None:
    try:
        raise PermissionError(13, "Permission denied", "/root/conf")
    except PermissionError as error:
        raise PathRefused("/root/conf: Permission denied", "a hint") from error


def denied() -> None:
    raise PermissionError(13, "Permission denied", "/root/conf")


@pytest.mark.parametrize("fails", [refused, denied])
@pytest.mark.parametrize("user", [0, 1000])
def test_who_is_not_root_is_told_so(
    fails: Callable[[], None],
    user: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def dispatch(_words: list[str]) -> int:
        fails()
        return 0

    monkeypatch.setattr(main, "_dispatch", dispatch)
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert main.main(["status"]) == 2
    said = capsys.readouterr().err
    root = "allie: only root can do this: /root/conf: Permission denied\n       run it as root"
    assert said.startswith(root if user else "allie: /root/conf: Permission denied\n")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "mount it so that it can be written"),
        (errno.EIO, "look at the disk"),
        (errno.ENOENT, ""),
    ],
)
def test_what_the_disk_says_comes_with_what_to_do(
    number: int, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dispatch(_words: list[str]) -> int:
        try:
            raise OSError(number, os.strerror(number), "/var/lib/allie/paused")
        except OSError as error:
            raise StateError(f"cannot write /var/lib/allie/paused: {error.strerror}") from error

    monkeypatch.setattr(main, "_dispatch", dispatch)
    assert main.main(["pause"]) == 2
    lines = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert lines[0] == f"allie: cannot write /var/lib/allie/paused: {os.strerror(number)}"
    assert "".join(lines[1:]).startswith(hint)
    assert len(lines) == (2 if hint else 1)
