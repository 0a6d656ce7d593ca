"""Conf scripts: names, headers, when one is due.

docs/internals/rules.md, "A done-file names what it satisfied".
"""

from __future__ import annotations

import re
import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from allie.core import globs
from allie.core.script import (
    DEFAULT_TIMEOUT,
    FUTURE,
    Done,
    Headers,
    due,
    is_name,
    parse_headers,
    parse_span,
    span_text,
    state_after,
    wants,
)

DIGEST, OTHER = "0123456789abcdef" * 4, "f" * 64
HOUR, DAY = 3600, 86400
NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    "name",
    ["00overlay", "50tree", "99report", "50", "10-ssh_keys.sh", "42x.bak.sh", "11Apt"],
)
def test_a_name_that_takes_part(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    """run-conf 5tree x50tree .50tree 50a##class.lab 50a#b 50a~ 50a.bak 50a.orig 50a.rej 50a.swp
    50a.dpkg-new 50a.dpkg-old 50a.rpmnew 50a.rpmsave 50ä README \u0665\u0660a""".split(),
)
def test_a_name_that_takes_no_part(name: str) -> None:
    assert not is_name(name)


@pytest.mark.parametrize("name", ["", "50 a", "50a\n", "50/a"])
def test_a_name_with_a_sign_that_none_has(name: str) -> None:
    assert not is_name(name)


# --- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("#!/bin/sh\necho hello\n", Headers()),
        ("#!/bin/sh\n# allie: every tick\n", Headers(every=0)),
        ("# allie: every 7d\n", Headers(every=7 * DAY)),
        ("#allie: every 90\n", Headers(every=90)),
        ("# allie:   every\t7d  \n", Headers(every=7 * DAY)),
        ("# allie: every 7d\r\n", Headers(every=7 * DAY)),
        ("# allie: timeout 10m", Headers(timeout=600)),
        ("# allie: timeout none\n", Headers(timeout=None)),
        ("# allie: on-change /etc/ssh/**\n", Headers(on_change=("/etc/ssh/**",))),
        (
            "# allie: on-change /a /b\n# allie: on-change /c\n",
            Headers(on_change=("/a", "/b", "/c")),
        ),
        (
            "# allie: every 1h\n# allie: timeout 2h\n# allie: on-change /a\n",
            Headers(every=HOUR, timeout=2 * HOUR, on_change=("/a",)),
        ),
        ("  # allie: every tick\n", Headers()),
        ("echo # allie: every tick\n", Headers()),
        ("#\nallie: every tick\n", Headers()),
        ("# Allie: every tick\n", Headers()),
        ("\n" * 5000 + "# allie: every tick\n", Headers()),
    ],
)
def test_headers_are_read(text: str, headers: Headers) -> None:
    assert parse_headers(text.encode()) == headers


@pytest.mark.parametrize(
    "header",
    [
        "every",
        "every week",
        "every 0",
        "every -1",
        "every 7y",
        "timeout",
        "timeout 0",
        "timeout soon",
        "on-change",
        "evry 7d",
        "every 99999999999999999999w",
        "every 101w" + "9" * 3000,
        "every " + "9" * 4000,
        "every 5300w",
        "timeout 9999999999h",
        "timeout " + "9" * 4000 + "s",
    ],
)
def test_a_header_that_is_not_understood_is_said_and_changes_nothing(header: str) -> None:
    found = parse_headers(f"#!/bin/sh\n# allie: {header}\n".encode())
    assert found == Headers(errors=(f"# allie: {header}",))


def test_the_default_timeout_is_an_hour() -> None:
    assert Headers().timeout == DEFAULT_TIMEOUT == 3600


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("45s", 45),
        ("10m", 600),
        ("10 m", 600),
        ("2h", 7200),
        ("7d", 604800),
        ("1w", 604800),
        ("0" * 4000 + "7", 7),
        ("5200w", 5200 * 604800),
        ("5300w", None),  # more than 100 years
        ("9" * 5000, None),
        ("", None),
        ("m", None),
        ("1.5h", None),
        ("-1h", None),
        ("1h30m", None),
    ],
)
def test_a_span_of_time(text: str, seconds: int | None) -> None:
    assert parse_span(text) == seconds


# --- due ---------------------------------------------------------------------------------------

ONCE, EVERY_TICK, WEEKLY = Headers(), Headers(every=0), Headers(every=7 * DAY)
HOURLY = Headers(every=HOUR)


@pytest.mark.parametrize(
    ("headers", "done", "is_due", "why"),
    [
        # once and for all
        (ONCE, None, True, "has not been satisfied yet"),
        (ONCE, Done(DIGEST, NOW), False, "satisfied"),
        (ONCE, Done(DIGEST, NOW - 900 * DAY), False, "satisfied"),
        (ONCE, Done(DIGEST, NOW + 900 * DAY), False, "satisfied"),
        (ONCE, Done("done", NOW), False, "satisfied"),
        (ONCE, Done(OTHER, NOW), True, "its content changed"),
        (ONCE, Done("", NOW + DAY), True, "only an alarm is set"),
        (ONCE, Done("Done", NOW), True, "only an alarm is set"),
        (ONCE, Done("done ", NOW), True, "only an alarm is set"),
        # every tick: whatever its done-file says
        (EVERY_TICK, None, True, "runs at every tick"),
        (EVERY_TICK, Done(DIGEST, NOW), True, "runs at every tick"),
        (EVERY_TICK, Done("done", NOW), True, "runs at every tick"),
        # every so often
        (WEEKLY, None, True, "has not been satisfied yet"),
        (WEEKLY, Done(DIGEST, NOW), False, "satisfied; due again in 7 d"),
        (WEEKLY, Done(DIGEST, NOW - 7 * DAY + 601), False, "satisfied; due again in 10 min"),
        (WEEKLY, Done(DIGEST, NOW - 7 * DAY + 600), True, "its time has come again (every 7 d)"),
        (HOURLY, Done(DIGEST, NOW - HOUR + 361), False, "satisfied; due again in 6 min"),
        (HOURLY, Done(DIGEST, NOW - HOUR + 360), True, "its time has come again (every 60 min)"),
        (WEEKLY, Done(DIGEST, NOW - 7 * DAY), True, "its time has come again (every 7 d)"),
        (WEEKLY, Done("done", NOW - 8 * DAY), True, "its time has come again (every 7 d)"),
        (WEEKLY, Done("done", NOW - DAY), False, "satisfied; due again in 6 d"),
        (WEEKLY, Done(OTHER, NOW), True, "its content changed"),
        (WEEKLY, Done("", NOW), True, "only an alarm is set"),
        # the clock went back
        (WEEKLY, Done(DIGEST, NOW + HOUR), False, "satisfied; due again in 7 d"),
        (
            WEEKLY,
            Done(DIGEST, NOW + HOUR + 1),
            True,
            "its done-file lies in the future: the clock went back",
        ),
    ],
)
def test_when_a_script_is_due(headers: Headers, done: Done | None, is_due: bool, why: str) -> None:
    assert due(headers, DIGEST, done, NOW) == (is_due, why)


@given(
    st.sampled_from([1, 2, 3, 12, 24, 7 * 24, 30 * 24]),
    st.lists(st.tuples(st.floats(-60, 60), st.floats(0, 1500)), min_size=60, max_size=60),
)
def test_hours_are_counted_in_hourly_ticks(hours: int, ticks: list[tuple[float, float]]) -> None:
    """Each `every Nh` runs at each Nth tick: a timer's minute and a script's time do not add up.

    ticks: how much each begins too early or late, and when the script ended that it ran.
    """
    ran = []
    done: Done | None = None
    for number, (off, took) in enumerate(ticks):
        began = NOW + number * HOUR + off
        if due(Headers(every=hours * HOUR), DIGEST, done, began + took / 2).due:
            ran.append(number)
            done = Done(DIGEST, began)
    assert ran == list(range(0, len(ticks), hours))


@given(
    st.integers(1, 10**7),
    st.floats(0, 2e9),
    st.floats(0, 2e9),
    st.floats(0, 2e9),
)
def test_once_its_time_has_come_a_script_stays_due(
    every: int, mtime: float, now: float, later: float
) -> None:
    assume(mtime - FUTURE <= now <= later)
    headers, done = Headers(every=every), Done(DIGEST, mtime)
    if due(headers, DIGEST, done, now).due:
        assert due(headers, DIGEST, done, later).due


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.floats(0, 2e9), st.floats(0, 2e9))
def test_a_shorter_span_is_due_no_later(one: int, other: int, mtime: float, now: float) -> None:
    short, long = sorted((one, other))
    done = Done(DIGEST, mtime)
    if due(Headers(every=long), DIGEST, done, now).due:
        assert due(Headers(every=short), DIGEST, done, now).due


@given(st.text(max_size=70), st.sampled_from([ONCE, WEEKLY]))
def test_no_other_first_line_satisfies(line: str, headers: Headers) -> None:
    assume(line not in (DIGEST, "done"))
    assert due(headers, DIGEST, Done(line, NOW), NOW).due


@given(st.binary(max_size=200))
def test_no_content_raises(content: bytes) -> None:
    parse_headers(b"# allie: " + content)


# --- verdicts, on-change, words ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, "satisfied"),
        (75, "waiting"),
        (1, "failing"),
        (2, "failing"),
        (127, "failing"),
        (-9, "failing"),
    ],
)
def test_what_an_exit_means(code: int, state: str) -> None:
    assert state_after(code) == state


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
    [
        ("/etc/ssh/**", "/etc/ssh/sshd_config", True),
        ("/etc/ssh/**", "/etc/ssh/conf.d/10-x.conf", True),
        ("/etc/ssh/**", "/etc/ssh", True),
        ("/etc/ssh/**", "/etc/sshx", False),
        ("/etc/ssh/*.conf", "/etc/ssh/a.conf", True),
        ("/etc/ssh/*.conf", "/etc/ssh/a.config", False),
        ("/etc/hosts.allow", "/etc/hosts.allow", True),
        ("/etc/hosts.allow", "/etc/hosts.allow2", False),
        ("/etc/hosts", "/etc/Hosts", False),
        ("/etc/[x", "/etc/[x", True),
        ("/etc/[z-a]", "/etc/a", False),
        ("etc/hosts", "/etc/hosts", False),
    ],
)
def test_on_change_names_placed_paths(pattern: str, path: str, wanted: bool) -> None:
    assert wants(Headers(on_change=(pattern,)), (path,)) is wanted


@settings(max_examples=1000)
@given(
    st.lists(st.sampled_from([*"ab/*?[]!-", "[a-b]", "[!a]", "[]a]", "**"]), max_size=7).map(
        "".join
    ),
    st.text(alphabet="ab/]-[!", max_size=6),
)
def test_on_change_means_what_fnmatch_means(pattern: str, path: str) -> None:
    # Of `[b-a!a]` it drops `b-a`, which has no letter in it, and takes the `!` for the set's first
    assume(not re.search(r"-.!", pattern))
    try:
        wanted = fnmatchcase(path, pattern)
    except re.error:  # `[z-a]`, before Python 3.11
        wanted = False
    assert globs.of_path(pattern).matches(path) is wanted


def test_what_an_on_change_costs_is_bounded_by_its_length() -> None:
    headers = parse_headers(b"# allie: on-change /" + b"**/a" * 900 + b"b\n")
    began = time.process_time()
    assert not wants(headers, ("/" + "a/" * 2000, "/" + "a/" * 1999 + "c"))
    assert time.process_time() - began < 10


def test_one_of_several_patterns_and_paths_is_enough() -> None:
    headers = Headers(on_change=("/a", "/b"))
    assert wants(headers, ("/x", "/b"))
    assert not wants(headers, ("/x",))
    assert not wants(headers, ())
    assert not wants(Headers(), ("/a",))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (2 * HOUR, "2 h"),
        (2 * DAY, "2 d"),
        (7 * DAY, "7 d"),
    ],
)
def test_a_span_for_people(seconds: float, text: str) -> None:
    assert span_text(seconds) == text
