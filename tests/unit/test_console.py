"""What people see: nothing that a file's name could smuggle in."""

from __future__ import annotations

import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.machine import console


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("etc/motd", "etc/motd"),
        ("Größe 12 °C", "Größe 12 °C"),
        ("two words", "two words"),
        ("new\nline", "new\\nline"),
        ("tab\there", "tab\\there"),
        ("bell\a", "bell\\x07"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("odd\udcff", "odd\\xff"),
        ("right-to-left \u202e", "right-to-left \\u202e"),
        ("", ""),
    ],
)
def test_a_name_is_shown_without_control_characters(text: str, shown: str) -> None:
    assert console.printable(text) == shown


@given(
    st.text(
        st.one_of(
            st.characters(exclude_categories=["Cs"]),
            st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
        )
    )
)
def test_what_is_shown_can_be_printed_anywhere(text: str) -> None:
    shown = console.printable(text)
    assert shown.isprintable()
    shown.encode()


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("one\ntwo\a")
    console.say()
    assert capsys.readouterr().out == "one\ntwo\\x07\n\n"


def test_a_warning_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    console.warn("etc/new\nline: refused")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "etc/new\\nline: refused\n")


@pytest.mark.parametrize(
    ("terminal", "no_colour", "look", "painted"),
    [
        (True, None, "good", "\x1b[32mok\x1b[0m"),
        (True, None, "bad", "\x1b[31mok\x1b[0m"),
        (True, None, "unheard-of", "ok"),
        (True, "1", "good", "ok"),
        (True, "", "good", "\x1b[32mok\x1b[0m"),  # no-color.org: empty counts as not set
        (False, None, "good", "ok"),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    terminal: bool,
    no_colour: str | None,
    look: str,
    painted: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    if no_colour is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", no_colour)
    assert console.paint("ok", look) == painted


def test_our_own_colours_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("\x1b[32mok\x1b[0m: etc/motd")
    assert capsys.readouterr().out == "\x1b[32mok\x1b[0m: etc/motd\n"


@pytest.mark.parametrize("smuggled", ["\x1b[8m", "\x1b[5;41m", "\x1b[2J", "\x1b]0;title\a"])
def test_no_other_escape_is_shown(smuggled: str, capsys: pytest.CaptureFixture[str]) -> None:
    console.say(f"etc/{smuggled}motd")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("terminal", "journal", "told"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_what_goes_well_is_told_to_those_who_watch(
    terminal: bool,
    journal: bool,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    console.tell("done")
    assert capsys.readouterr().out == ("done\n" if told else "")


def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert console.progress("overlays") == ([], None)


@pytest.mark.parametrize(("seconds", "shown"), [(1.0, ""), (3.0, "debian12: 1,234 bytes, 42 %")])
def test_progress_is_shown_after_two_seconds(
    seconds: float,
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [100.0]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    options, show = console.progress("debian12")
    assert options == ["--info=progress2", "--no-inc-recursive"]
    assert show
    clock[0] += seconds
    show(b"noise\r      1,000  40%   1.00MB/s    0:00:09\r      1,234  42%   1.00MB/s    0:00:09 ")
    assert shown in capsys.readouterr().err
