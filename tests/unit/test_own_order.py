"""Each PC has an order of its own in which it asks its stores (rendezvous hashing)."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from allie.client.mirror.stores import in_own_order
from allie.core.conf.settings import Settings

NAMES = st.lists(
    st.from_regex(r"[a-z]{1,8}[0-9]{0,3}", fullmatch=True), min_size=2, max_size=8, unique=True
)
HOST = st.from_regex(r"[a-z]{2,6}-?[0-9]{1,4}", fullmatch=True)


def order(host: str, names: list[str]) -> list[str]:
    stores = tuple(f"rsync://{name}" for name in names)
    return in_own_order(Settings("toy", stores, ("kit",), host=host))


@given(HOST, NAMES)
def test_it_depends_on_the_names_alone(host: str, names: list[str]) -> None:
    assert sorted(order(host, names)) == sorted(f"rsync://{name}" for name in names)
    assert order(host, names) == order(host, sorted(names))


@given(HOST, NAMES)
def test_one_that_is_added_or_leaves_moves_no_other(host: str, names: list[str]) -> None:
    """So a PC goes elsewhere only if its own store left, or the new one is its own."""
    before = order(host, names[1:])
    after = order(host, names)
    assert [each for each in after if each != f"rsync://{names[0]}"] == before


@settings(max_examples=20)
@given(NAMES.filter(lambda names: len(names) <= 5), st.from_regex(r"[a-z]{2,5}", fullmatch=True))
def test_many_pcs_spread_evenly(names: list[str], room: str) -> None:
    """Also over what is second, which is what a store gets when another dies."""
    count = 3000
    orders = [order(f"{room}{number:04}", names) for number in range(count)]
    even = count / len(names)
    first = Counter(each[0] for each in orders)
    assert len(first) == len(names)
    assert all(0.8 < share / even < 1.2 for share in first.values())
    lost = max(first, key=lambda store: first[store])
    second = Counter(each[1] for each in orders if each[0] == lost)
    fair = first[lost] / (len(names) - 1)
    assert all(0.65 < share / fair < 1.35 for share in second.values())
