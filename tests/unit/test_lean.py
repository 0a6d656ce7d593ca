"""What stands in for a standard module does as that does."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core import hosts, lean, script
from allie.core.conf import addresses, ini, settings
from allie.core.errors import SettingsError
from allie.machine.transfer import rsync

_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_VALUES = st.recursive(_LEAVES, lambda each: st.lists(each) | st.dictionaries(st.text(), each))


def outcome(work: Callable[..., Any], *values: Any) -> Any:
    """What it returns, or the kind of error that it raises; shown, since NaN is not itself."""
    try:
        return repr(work(*values))
    except (ValueError, TypeError, SettingsError) as error:
        return "no value" if isinstance(error, ValueError) else type(error).__name__


@given(_VALUES)
def test_json_is_written_and_read_as_json_does(value: Any) -> None:
    text = json.dumps(value)
    assert lean.dumps(value) == text
    assert lean.dumps(value, separators=(",", ":")) == json.dumps(value, separators=(",", ":"))
    assert outcome(lean.loads, text) == outcome(json.loads, text)


@given(st.text('{}[]:," \t\n\r\\eE+-.0179nulltruefalseNaNInfinity\ufeff\x0c', max_size=12))
def test_no_json_is_none_here_either(text: str) -> None:
    assert outcome(lean.loads, text) == outcome(json.loads, text)


def test_what_has_no_form_in_json_is_an_error() -> None:
    assert outcome(lean.dumps, {1}) == outcome(json.dumps, {1}) == "TypeError"


class _Odd(Exception):
    pass


def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("kit", [lean, contextlib], ids=["lean", "contextlib"])
def test_contexts(kit: Any) -> None:
    said: list[object] = []

    @kit.contextmanager  # type: ignore[untyped-decorator]
    def noting(name: str, *, swallows: bool = False) -> Iterator[str]:
        said.append(f"begin {name}")
        try:
            yield name
        except _Odd as error:
            said.append(f"{name}: {error}")
            if not swallows:
                raise
        finally:
            said.append(f"end {name}")

    with noting("a") as name:
        said.append(name)
    with noting("b", swallows=True):
        fail(_Odd("lost"))
    with pytest.raises(_Odd, match="seen"), noting("c"):
        fail(_Odd("seen"))
    with kit.suppress(_Odd, KeyError):
        fail(_Odd())
    with pytest.raises(ValueError), kit.suppress(_Odd):
        fail(ValueError())
    with kit.ExitStack() as stack:
        stack.callback(said.append, "last")
        assert stack.enter_context(noting("d", swallows=True)) == "d"
        stack.callback(said.append, "first")
        fail(_Odd("within"))
    with pytest.raises(KeyError), kit.ExitStack() as stack:
        stack.callback(said.append, "all the same")
        stack.callback({}.pop, "no such key")
    stack.callback(said.append, "closed")
    stack.close()
    assert said == [
        *("begin a", "a", "end a", "begin b", "b: lost", "end b", "begin c", "c: seen", "end c"),
        *("begin d", "first", "d: within", "end d", "last", "all the same", "closed"),
    ]


def test_who_yields_twice_is_an_error() -> None:
    @lean.contextmanager
    def twice() -> Iterator[None]:
        with contextlib.suppress(_Odd):
            yield
        yield

    for odd in (False, True):
        with pytest.raises(RuntimeError), twice():
            if odd:
                fail(_Odd())


def test_what_is_kept_is_asked_once_and_bounded() -> None:
    asked = []

    @lean.kept(maxsize=2)
    def double(number: int) -> int:
        asked.append(number)
        return number * 2

    assert [double(each) for each in (1, 1, 2, 3, 3, 1)] == [2, 2, 4, 6, 6, 2]
    assert asked == [1, 2, 3, 1]


_LINES = st.sampled_from(
    "[allie]|[system x]|[system y]|[a|[b]]|[] |[|store = rsync://h/|STORE=s|root: /x|root = /x = y"
    "| = v|key|key =|# note|; note|  # note|a = b ; note|a = b;c|  more|\tb = c||\r|a = b\r|[c]\r"
    "|\ufeff[d]|\0|[\0none]|\x1fa = b|ä = \u2028 b|a = # b|a [b] = c|[DEFAULT]".split("|")
)


@given(st.lists(_LINES | st.text("[]=:;# \t\rab\0\x85", max_size=6), max_size=6))
def test_what_is_plainly_said_is_what_all_rules_read(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = ini.plainly_said(text)
    if found is not None:
        assert found == ini.by_all_rules(text)


def test_an_ordinary_file_is_plainly_said() -> None:
    text = "# of join\n[allie]\nstore = rsync://server:873/ /srv\n\n[system a]\noverlays = kit, b\n"
    assert ini.plainly_said(text) == {
        "allie": {"store": "rsync://server:873/ /srv"},
        "system a": {"overlays": "kit, b"},
    }


# Patterns that a tick would need, and what it does without them

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_HOST = r"[^\s/.][^\s/]{0,254}"
_LEFTOVER = r"(~|\.bak|\.orig|\.rej|\.swp|\.dpkg-[a-z]+|\.rpm[a-z]+)$"
_RANGE = r"\[(?![0-9]*\])([0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*)\]"
_ITEM = rb"([<>ch.][fdLDS][^ ]{9}|\*deleting  ) (.*)"


@given(st.text("aZ09._-/ \t\n\u0661é", max_size=9) | st.just("a" * 128) | st.just("a" * 129))
def test_names(text: str) -> None:
    assert settings.is_name(text) == bool(re.fullmatch(_NAME, text))


@given(st.text("aé./ \t\n\x07\u2028", max_size=6) | st.just("a" * 255) | st.just("a" * 256))
def test_names_of_hosts(text: str) -> None:
    good = re.fullmatch(_HOST, text) and text.isprintable()
    assert (outcome(settings.check_host, text) == repr(text)) == bool(good)


@given(st.text("0123ab.-~BrpmswoldkgE\n", max_size=9).map(lambda end: f"10{end}"))
def test_names_of_scripts(text: str) -> None:
    good = re.fullmatch(r"[0-9][0-9][A-Za-z0-9._-]*", text) and not re.search(_LEFTOVER, text)
    assert script.is_name(text) == bool(good)


@pytest.mark.parametrize("end", [".bak", ".rpmnew", ".dpkg-old", ".rpm", ".dpkg-a-b", "bak", "~"])
def test_leftovers(end: str) -> None:
    assert script.is_name(f"10a{end}") == (not re.search(_LEFTOVER, f"10a{end}") and end != "~")


@given(st.text("019 smhdw\t", max_size=13))
def test_spans(text: str) -> None:
    found = re.fullmatch(r"0*([0-9]{1,10})\s*([smhdw]?)", text)
    seconds = int(found[1]) * script._UNITS[found[2]] if found else None
    assert script.parse_span(text) == (None if (seconds or 0) > script._LONGEST else seconds)


@given(st.lists(st.sampled_from(["#", " ", "\t", "allie:", "every 1h", "\n", "\r", "\xff"])))
def test_header_lines(pieces: list[str]) -> None:
    content = "".join(pieces).encode("latin-1")
    found = re.finditer(rb"(?m)^#[ \t]*allie:(.*)$", content)
    lines = {each.start(): " ".join(each[1].decode(errors="replace").split()) for each in found}
    assert script._header_lines(content) == lines


@given(st.lists(st.sampled_from(["[", "]", "-", ",", "1", "07", "a", "*", "!", "\u0661"])))
def test_ranges_of_hosts(pieces: list[str]) -> None:
    assert hosts._pieces("".join(pieces)) == re.split(_RANGE, "".join(pieces))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("sign", ["[", "]", "[]", "[1-", "[1-2]", "1"])
def test_a_long_pattern_takes_no_longer_than_it_is(sign: str) -> None:
    text = sign * 200_000 + "]"
    assert "".join(hosts._pieces(text)).count("1") == text.count("1")


@given(st.text("rsync:/ h[]:1.\n", max_size=8).map(lambda end: f"rsync://{end}"))
def test_an_ordinary_address_fits_the_pattern(text: str) -> None:
    if addresses._is_ordinary(text):
        assert re.fullmatch(addresses._STORE, text)


_ANSWERS = ["<f", ">f", "h", "*deleting  ", " ", "+++++++++", ".", "cL", "a"]


@given(st.lists(st.sampled_from(_ANSWERS)))
def test_an_answer(pieces: list[str]) -> None:
    line = "".join(pieces).encode()
    found = re.fullmatch(_ITEM, line)
    names = (rsync.plain_name(found[2]),) if found else ()
    changed, gone = ((), names) if line[:1] == b"*" else (names, ())
    links = bool(found) and line[:1] == b"h"
    assert rsync.parse_answer(line) == rsync.Answer(changed, gone, links)
