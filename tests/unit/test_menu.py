"""The boot menu: what is written for GRUB, and what it counts."""

from __future__ import annotations

import pytest

from allie.core import menu
from allie.core.errors import StateError


def entry(system: str, release: str, title: str = "") -> menu.Entry:
    at = f"/systems/{system}/{release}"
    return menu.Entry(
        system, release, f"{at}/vmlinuz", f"{at}/initrd", "root=LABEL=x ro", title or system
    )


OLD, NEW, OTHER = entry("deb", "6.1.0-9"), entry("deb", "6.1.0-18"), entry("fed", "6.5")


def test_an_entry_is_quoted_for_grub() -> None:
    text = menu.grub_cfg([entry("deb", "6.1", 'Tom\'s $system; "x"')])
    assert "menuentry 'Tom'\\''s $system; \"x\"' --id 'deb/6.1' {" in text
    assert "'allie.entry=deb/6.1'" in text


def test_a_block_is_always_1024_bytes() -> None:
    block = menu.format_env({"allie_default": "deb/6.1", "next_entry": ""})
    assert len(block) == menu.SIZE
    assert menu.parse_env(block) == {"allie_default": "deb/6.1"}
    assert menu.parse_env(b"\0\xff") == {}
    with pytest.raises(StateError):
        menu.format_env({"allie_default": "x" * 1024})


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
    env: dict[str, str], entries: list[menu.Entry], wanted: dict[str, str] | None
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
