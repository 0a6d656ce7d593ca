"""The boot menu for systemd-boot: names that it sorts and counts by, and what they say to us."""

from __future__ import annotations

import pytest

from allie.core.boot import boot_loader_spec, menu
from tests.unit.test_menu import NEW, OLD, OTHER, entry

ALL = [OLD, NEW, OTHER]


def names(env: dict[str, str], number: int = 7) -> list[str]:
    return list(boot_loader_spec.files(ALL, env, number))


def read(env: dict[str, str], *, once: str = "", always: str = "") -> dict[str, str]:
    files = boot_loader_spec.files(ALL, env, 7)
    return boot_loader_spec.standing(boot_loader_spec.conf(env, 7), files, once, always).env


def test_an_entry_is_what_the_specification_has() -> None:
    one = menu.MenuEntry(
        "el7", "3.10", "/systems/k", "/systems/i", "root=LABEL=el7 ro", "el7 (3.10)"
    )
    assert boot_loader_spec.files([one], {}, 1) == {
        "allie-1-00-el7.conf": "title el7 (3.10)\nversion 3.10\nlinux /systems/k\n"
        "initrd /systems/i\noptions root=LABEL=el7 ro allie.entry=el7/3.10\n"
    }


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"allie_default": NEW.id}, "02-deb 01-deb 00-fed"),
        ({"allie_default": OTHER.id}, "02-fed 01-deb 00-deb"),
        ({"allie_default": OTHER.id, "allie_good": OTHER.id}, "02-fed 01-deb 00-deb"),
        ({"allie_default": OTHER.id, "allie_good": OLD.id}, "02-fed+2 01-deb 00-deb"),
        (
            {"allie_default": OTHER.id, "allie_good": OLD.id, "allie_tries": "1"},
            "02-fed+1-1 01-deb 00-deb",
        ),
        (
            {"allie_default": OTHER.id, "allie_good": OLD.id, "allie_tries": "2"},
            "02-fed+0-2 01-deb 00-deb",
        ),
    ],
)
def test_the_default_comes_first_and_is_counted_where_it_can_give_way(
    env: dict[str, str], wanted: str
) -> None:
    found = sorted(names(env), reverse=True)
    assert found == [f"allie-7-{each}.conf" for each in wanted.split()]
    assert read(env) == env


def test_the_last_good_one_comes_second() -> None:
    for good, other in ((OLD, NEW), (NEW, OLD)):
        files = boot_loader_spec.files(ALL, {"allie_default": OTHER.id, "allie_good": good.id}, 3)
        assert f"allie.entry={good.id}\n" in files["allie-3-01-deb.conf"]
        assert f"allie.entry={other.id}\n" in files["allie-3-00-deb.conf"]


def test_a_boot_that_is_counted_is_not_blessed_by_systemd() -> None:
    files = boot_loader_spec.files(ALL, {"allie_default": NEW.id, "allie_good": OLD.id}, 7)
    assert [name for name in files if "systemd.mask=systemd-bless-boot.service" in files[name]] == [
        "allie-7-02-deb+2.conf"
    ]
    assert {boot_loader_spec.parse(text) for text in files.values()} == set(ALL)


def test_loader_conf_names_a_generation_and_keeps_the_variables() -> None:
    env = {"allie_default": NEW.id, "allie_pin": NEW.id, "allie_tries": "1", "next_entry": OLD.id}
    text = boot_loader_spec.conf(env, 12)
    assert "\ntimeout 3\ndefault allie-12-*\n" in text
    there = boot_loader_spec.standing(text, {}, "", "")
    assert (there.number, there.env) == (12, {"allie_default": NEW.id, "allie_pin": NEW.id})
    assert boot_loader_spec.standing("default arch\n", {}, "", "") == boot_loader_spec.LoaderMenu(
        0, (), {}, {}
    )


def test_what_the_firmware_was_told_is_found_by_its_name() -> None:
    env = {"allie_default": NEW.id, "allie_bad": OTHER.id}
    assert read(env, once="allie-7-00-fed.conf") == {**env, "next_entry": OTHER.id}
    assert read(env, once="arch.conf", always="auto-windows") == env
    chosen = {"allie_default": OLD.id, "allie_pin": OLD.id}
    assert read(env, always="ALLIE-7-01-deb.conf") == chosen


def test_of_other_generations_only_the_names_count() -> None:
    files = {
        **boot_loader_spec.files(ALL, {}, 7),
        **boot_loader_spec.files([OLD], {}, 6),
        "allie-8-00-deb.conf.part": "x",
    }
    there = boot_loader_spec.standing(
        boot_loader_spec.conf({}, 7), files, "allie-6-00-deb.conf", ""
    )
    assert set(there.entries) == set(ALL)
    assert there.env == {"next_entry": OLD.id}
    assert len(there.names) == 4


def test_a_file_that_is_cut_short_is_no_entry() -> None:
    text = boot_loader_spec.files([entry("deb", "6.1")], {}, 1)["allie-1-00-deb.conf"]
    for end in (0, 10, text.index("initrd"), text.index("allie.entry")):
        assert boot_loader_spec.parse(text[:end]) is None


@pytest.mark.parametrize(
    ("name", "generation", "bare"),
    [
        ("allie-7-01-deb.conf", 7, "allie-7-01-deb.conf"),
        ("allie-70-01-a-1.2_b+2.conf", 70, "allie-70-01-a-1.2_b.conf"),
        ("allie-7-01-deb+0-2.conf", 7, "allie-7-01-deb.conf"),
        ("allie-7.conf", -1, ""),
        ("allie-7-01-deb.conf.part", -1, ""),
        ("8e2f-6.1.conf", -1, ""),
    ],
)
def test_names(name: str, generation: int, bare: str) -> None:
    assert (boot_loader_spec.generation(name), boot_loader_spec.bare(name)) == (generation, bare)


def test_giving_way() -> None:
    env = {"allie_default": NEW.id, "allie_good": OLD.id, "allie_pin": NEW.id, "allie_tries": "2"}
    gone = {"allie_default": OLD.id, "allie_good": OLD.id, "allie_bad": NEW.id}
    assert menu.give_way(env) == gone
    for still in ({**env, "allie_tries": "1"}, {**env, "allie_good": NEW.id}, {}):
        assert menu.give_way(still) == still


@pytest.mark.parametrize("digits", ["9" * 19, "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_numbers_that_nobody_counted_to_are_not_read(digits: str) -> None:
    found = boot_loader_spec.standing(
        f"# allie_tries={digits}\ndefault allie-{digits}-*\n", {}, "", ""
    )
    assert found.number == 0
    boot_loader_spec.files(ALL, {**found.env, "allie_default": NEW.id, "allie_good": OLD.id}, 1)
    assert boot_loader_spec.generation(f"allie-{digits}-00-deb.conf") == -1
    assert menu.newest_first(f"6.{digits}-1") > menu.newest_first("6.1-1")
