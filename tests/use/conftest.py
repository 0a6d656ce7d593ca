"""One base with two systems, for all tests of this folder: they only look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.use.world import Base, busybox_system, possible
from tests.worlds.debian import UnavailableError, debian_root


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """The base, with `bb` (busybox) and `deb` (Debian)."""
    if not possible():
        pytest.skip("needs root, and namespaces for users")
    top = tmp_path_factory.mktemp("enter")
    systems = {"bb": busybox_system(top / "bb")}
    try:
        systems["deb"] = debian_root("bookworm", top / "deb")
    except (UnavailableError, FileNotFoundError) as error:
        pytest.skip(str(error))
    suid = systems["deb"] / "usr/bin/suid-id"
    shutil.copy(systems["deb"] / "usr/bin/id", suid)
    suid.chmod(0o4755)
    with Base(top / "base", systems) as made:
        yield made
    for root in systems.values():
        shutil.rmtree(root)
