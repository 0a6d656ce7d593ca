"""What people see: nothing that a file's name could smuggle in."""

from __future__ import annotations

import io
import os
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


def test_a_text_of_ours_has_lines_and_a_line_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_text("one\ntwo\a")
    console.say("a name\nwith two lines")
    console.say()
    assert capsys.readouterr().out == "one\ntwo\\x07\na name\\nwith two lines\n\n"


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
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    if no_colour is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", no_colour)
    console.say(console.paint("ok", look))
    assert capsys.readouterr().out == f"{painted}\n"


@pytest.mark.parametrize(
    "smuggled",
    [
        "\x1b[8m",
        "\x1b[5;41m",
        "\x1b[2J",
        "\x1b]0;title\a",
        "\x1b[32m",
        "\x1b[0m",
        "\x9b2J",
        "\r",
        "\n",
    ],
)
def test_no_escape_of_others_is_shown(
    smuggled: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a colour that is one of ours: a name must not look like good news."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(console, "_AFTER", -1.0)
    console.say(f"etc/{smuggled}motd")
    console.warn(f"etc/{smuggled}motd")
    _, show = console.progress(f"etc/{smuggled}motd")
    assert show
    show(b"      1,234  42%   1.00M\x1b[2JB/s    0:00:09 ")
    said = capfd.readouterr()
    own = said.err.replace("\r\x1b[K", "")
    assert said.out.count("\n") == 1
    assert "\x1b" not in said.out + own
    assert "\r" not in said.out + own


@given(st.binary(max_size=60), st.integers(1, 7))
def test_what_a_script_prints_drives_no_terminal(output: bytes, step: int) -> None:
    read, write = os.pipe()
    own = os.dup(1)
    os.dup2(write, 1)
    os.close(write)
    try:
        echo = console.Echo()
        for at in range(0, len(output), step):
            echo.show(output[at : at + step])
        echo.show(b"", last=True)
    finally:
        os.dup2(own, 1)
        os.close(own)
    with os.fdopen(read, "rb") as shown:
        text = shown.read().decode()
    assert all(each.isprintable() or each in "\n\t" for each in text)
    if output.decode(errors="replace").isprintable() and b"\\" not in output:
        assert text == output.decode(errors="backslashreplace")


def test_letters_that_the_terminal_lacks_are_shown_escaped() -> None:
    to = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    console._print("Größe …", to)
    assert to.buffer.getvalue() == b"Gr\\xf6\\xdfe \\u2026\n"


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


@pytest.mark.parametrize(
    ("seconds", "shown"), [(1.0, ""), (60.0, "debian12: 1,234 bytes, 42 %, 1.00MB/s, 1:22 left")]
)
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
    show(
        b"noise\r  1,000  40%   1.00MB/s    0:00:09\r  1,234  42%   1.00MB/s    0:01:00 (xfr#7, to"
    )
    show(b"\r      1,235  42%   1.00MB/s    0:01:00 (xfr#8, to-chk=1/9)")  # not for each file
    assert capsys.readouterr().err.removeprefix("\r\x1b[K") == shown
    console.say("there")
    assert capsys.readouterr() == ("there\n", "\n" if shown else ""), "on a line of its own"
    console.say("once")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("output", "size", "share"),
    [
        (b"\r  1,000  40%   1.00MB/s    0:00:09", 1000, 40),
        (b"\r  1,000  40%   1.00MB/s    0:00:09 \r  1,500  60%  9.00MB/s  0:00:01", 1500, 60),
        # a second command, for what the first left out: it begins at nothing, of the same whole
        (b"\r  1,000  40%  1.00MB/s  0:00:09\r  10  0%  1.00MB/s  0:00:09", 1010, 40),
        (b"\r 600 60% 1MB/s 0:00:09\r 1 0% 1MB/s 0:00:09\r 400 40% 1MB/s 0:00:09", 1000, 100),
        # tried again
        (b"\r 900 90% 1MB/s 0:00:09\r 1 0% 1MB/s 0:00:09\r 900 90% 1MB/s 0:00:09", 1800, 100),
        (b"\r   500  20%   1MB/s  0:00:09 usr/lib/x is over max-size\n", 500, 20),
        (b"usr/lib/x is over max-size\n", 0, 0),
    ],
)
def test_how_far_rsync_is(output: bytes, size: int, share: int) -> None:
    moved = console.Moved()
    moved.take(output)
    assert (moved.size, moved.share) == (size, share)


@given(st.lists(st.integers(0, 10**6), max_size=20))
def test_progress_never_runs_backwards(sizes: list[int]) -> None:
    moved = console.Moved()
    before = (0, 0)
    for size in sizes:
        moved.take(b"\r %15s %3d%% 1MB/s 0:00:01 " % (f"{size:,}".encode(), size // 10**4))
        assert before <= (moved.size, moved.share)
        assert before[1] <= moved.share <= 100
        before = (moved.size, moved.share)
