"""`overlay lint` names a tie of two variants just where some system would find one."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from allie.core import tags
from allie.core.facts import Facts
from allie.core.tags import Tag
from allie.server import lint

# What tags may say, and systems that differ in all of it; of one distribution alone
SAID = (
    *("host.a", "host.b", "host.a*", "~host.a", "~host.b"),
    *("image.deb12", "image.el9", "image.deb*", "~image.deb12"),
    *("class.lab", "class.srv", "~class.lab", "~class.srv"),
    *("arch.x86_64", "arch.aarch64", "~arch.x86_64", "virt.kvm", "~virt.kvm"),
)
SYSTEMS = [
    Facts(host, host, classes, image, ("debian",), "12", arch, virt)
    for host, classes, image, arch, virt in product(
        ("a", "b", "ab", "c"),
        ((), ("lab",), ("srv",), ("lab", "srv")),
        ("deb12", "deb13", "el9"),
        ("x86_64", "aarch64", "riscv64"),
        ("kvm", "none"),
    )
]


def _tag(*conditions: str) -> Tag:
    return tags.parse_name(f"m##{','.join(conditions)}")


def test_a_tie_is_named_just_where_a_system_has_one() -> None:
    possible = [_tag(*each) for count in (1, 2) for each in combinations(SAID, count)]
    ranks = {each: [tags.rank(each, facts) for facts in SYSTEMS] for each in possible}
    able = [each for each in possible if not each.error and any(ranks[each])]
    assert len(able) > 100
    for one, other in combinations(able, 2):
        tie = any(rank is not None and rank == its for rank, its in zip(ranks[one], ranks[other]))
        assert bool(lint._tie(one, other)) == tie, (str(one), str(other))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("class.lab", "class.srv", "ties, on hosts in both classes, with"),
        ("image.deb12", "image.deb*", "ties, where both fit, with"),
        ("distro.ubuntu", "distro.debian", ""),  # Ubuntu is like Debian: nobody knows that here
    ],
)
def test_what_is_said(one: str, other: str, words: str) -> None:
    assert lint._tie(_tag(one), _tag(other)) == words
