"""The boot menu: what is written for GRUB, and what it counts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.boot import boot_loader_spec, grub_config, menu
from allie.core.errors import StateError


def entry(system: str, release: str, title: str = "") -> menu.MenuEntry:
    at = f"/systems/{system}/{release}"
    return menu.MenuEntry(
        system, release, f"{at}/vmlinuz", f"{at}/initrd", "root=LABEL=x ro", title or system
    )


OLD, NEW, OTHER = entry("deb", "6.1.0-9"), entry("deb", "6.1.0-18"), entry("fed", "6.5")


def test_an_entry_is_quoted_for_grub() -> None:
    text = grub_config.config([entry("deb", "6.1", 'Tom\'s $system; "x"')])
    assert "menuentry 'Tom'\\''s $system; \"x\"' --id 'deb/6.1' {" in text
    assert "'allie.entry=deb/6.1'" in text


def test_a_block_is_always_1024_bytes() -> None:
    block = grub_config.format_env({"allie_default": "deb/6.1", "next_entry": ""})
    assert len(block) == grub_config.SIZE
    assert grub_config.parse_env(block) == {"allie_default": "deb/6.1"}
    assert grub_config.parse_env(b"\0\xff") == {}
    with pytest.raises(StateError):
        grub_config.format_env({"allie_default": "x" * 1024})


@pytest.mark.parametrize(
    ("env", "entries", "wanted"),
    [
        ({}, [OTHER, NEW, OLD], {"allie_default": NEW.id}),
        ({"allie_default": OLD.id}, [NEW, OLD], {"allie_default": NEW.id}),
        ({"allie_default": NEW.id, "allie_tries": "1"}, [NEW], None),
        (
            {"allie_default": OLD.id, "allie_bad": NEW.id},
            [NEW, OLD],
            None,  # what did not come up is not tried again unasked
        ),
        ({"allie_default": "gone/1", "next_entry": "gone/1"}, [OTHER], {"allie_default": OTHER.id}),
        ({"allie_default": "gone/1"}, [OTHER, NEW], {"allie_default": NEW.id}),
    ],
)
def test_the_default_follows_what_is_there(
    env: dict[str, str], entries: list[menu.MenuEntry], wanted: dict[str, str] | None
) -> None:
    assert menu.follow(env, entries, "deb") == (env if wanted is None else wanted)


def test_choosing_and_confirming() -> None:
    env = {"allie_default": NEW.id, "allie_tries": "2", "allie_bad": OTHER.id}
    assert menu.choose(env, OTHER.id, once=True) == {**env, "next_entry": OTHER.id}
    assert menu.choose(env, OTHER.id, once=False) == {"allie_default": OTHER.id}
    assert menu.confirm(env, OTHER.id) == env
    assert menu.confirm(env, NEW.id) == {
        "allie_default": NEW.id,
        "allie_bad": OTHER.id,
        "allie_good": NEW.id,
    }
    assert menu.booted_by("root=LABEL=x ro allie.entry=deb/6.1\n") == "deb/6.1"


def test_a_kernel_that_a_person_named_stays_the_default() -> None:
    """Also where it is the one that GRUB fell back to, and the newer one is broken."""
    for env in ({"allie_default": NEW.id}, {"allie_default": OLD.id, "allie_bad": NEW.id}):
        pinned = menu.choose(env, OLD.id, once=False, pin=True)
        assert pinned == {"allie_default": OLD.id, "allie_pin": OLD.id}
        assert menu.follow(pinned, [NEW, OLD], "deb") == pinned
        assert menu.follow(pinned, [NEW], "deb") == {"allie_default": NEW.id}, "it is gone"
        again = menu.choose(pinned, NEW.id, once=False)
        assert menu.follow(again, [NEW, OLD], "deb") == {"allie_default": NEW.id}


def _by_kernel(cmdline: str) -> list[tuple[str, str | None]]:
    """The parameters that the kernel makes of a command line (next_arg in its lib/cmdline.c)."""
    found, at = [], 0
    while at < len(cmdline):
        if cmdline[at] == " ":
            at += 1
            continue
        quoted = in_quote = cmdline[at] == '"'
        begin = at = at + quoted
        equals = -1
        while at < len(cmdline) and (in_quote or cmdline[at] != " "):
            if equals < 0 and cmdline[at] == "=":
                equals = at
            in_quote ^= cmdline[at] == '"'
            at += 1
        word = cmdline[begin:at]
        if quoted and word.endswith('"'):
            word = word[:-1]
        name, value = word, None
        if equals >= 0:
            name, value = word[: equals - begin], word[equals - begin + 1 :]
            if value.startswith('"'):
                value = value[1:]
                value = value[:-1] if not quoted and value.endswith('"') else value
        found.append((name, value))
    return found


def _by_grub(cfg: str) -> str:
    """What GRUB gives the kernel (grub_create_loader_cmdline), of the line of the first entry."""
    (line,) = re.findall(r"^  linux '[^']*' (.*)$", cfg, re.MULTILINE)
    words = [each.replace("'\\''", "'") for each in re.findall(r"'((?:[^']|'\\'')*)'(?: |$)", line)]
    made = []
    for each in words:
        escaped = re.sub(r"(\\(?!x[0-9a-f]{2})|['\"])", r"\\\1", each)
        made.append(f'"{escaped}"' if " " in each else escaped)
    return " ".join(made)


_WORDS = st.text("abc.+;,/-:", min_size=1, max_size=8)
_VALUES = st.lists(_WORDS, max_size=4).map("  ".join)
_PARAMETERS = st.one_of(
    _WORDS,
    st.tuples(_WORDS, _WORDS).map(lambda pair: f"{pair[0]}={pair[1]}"),
    st.tuples(_WORDS, _VALUES).map(lambda pair: f'{pair[0]}="{pair[1]}"'),
    _VALUES.filter(bool).map(lambda words: f'"{words}"'),
    st.sampled_from(['dyndbg="file drivers/usb/* +p"', 'x=""', '"a=b c"', "y=a=b"]),
)


@given(st.lists(_PARAMETERS, max_size=6), st.sampled_from([" ", "\n", "  "]))
def test_a_command_line_arrives_as_written(parameters: list[str], between: str) -> None:
    line = menu.options("LABEL=x", between.join(parameters))
    wanted = [("root", "LABEL=x"), ("ro", None)]
    wanted += [each for each in _by_kernel(" ".join(parameters)) if each[0] not in ("ro", "rw")]
    assert _by_kernel(line) == wanted
    one = menu.MenuEntry("deb", "6.1", "/k", "/i", line, "deb")
    arrived = _by_kernel(_by_grub(grub_config.config([one])))
    assert arrived == [*wanted, ("allie.entry", "deb/6.1")]
    (text,) = boot_loader_spec.files([one], {}, 1).values()
    assert boot_loader_spec.parse(text) == one
    (options,) = re.findall("^options (.*)$", text, re.MULTILINE)
    assert _by_kernel(options) == arrived


@pytest.mark.parametrize(
    ("cmdline", "words"),
    [
        ("", []),
        (' a  "b', ["a", '"b"']),
        ('a="x rw y" rw', ['a="x rw y"', "rw"]),
        ('a="b\nc', ['a="b"', "c"]),  # else the mark that we append were part of it
        ('a"b c"d e', ['a"b c"d', "e"]),
    ],
)
def test_words_of_a_command_line(cmdline: str, words: list[str]) -> None:
    assert menu.words(cmdline) == words
