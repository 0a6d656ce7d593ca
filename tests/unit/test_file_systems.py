"""Whether a kind of file system can be mounted, before anything is written."""

from __future__ import annotations

import pytest

from allie.machine.disk import file_systems
from allie.machine.programs import process
from tests.conftest import FakePrograms


@pytest.fixture(autouse=True)
def _path(fake_programs: FakePrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLIE_PATH", f"{fake_programs.folder}:{process.PATH}")


def test_what_the_kernel_knows_is_not_asked_for(fake_programs: FakePrograms) -> None:
    fake_programs.add("modprobe", rc=1)
    assert file_systems.can_mount("proc")
    assert fake_programs.calls == []


@pytest.mark.parametrize(("code", "can"), [(0, True), (1, False)])
def test_the_kernel_loads_what_it_has(fake_programs: FakePrograms, code: int, can: bool) -> None:
    fake_programs.add("modprobe", rc=code)
    assert file_systems.can_mount("nosuchfs") is can
    assert fake_programs.calls_of("modprobe") == [["-q", "nosuchfs"]]
