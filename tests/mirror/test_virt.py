"""systemd-detect-virt is asked where a name in an overlay asks for what it says, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from allie.client.mirror import generation as generations
from allie.client.mirror.generation import Generation
from allie.client.situation import gather_facts
from allie.core.change.resolution import Listed
from allie.machine.programs import process
from allie.machine.programs.process import Finished


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("etc/motd##virt.kvm", True),
        ("etc/conf##class.lab,~virt.none/file", True),
        ("etc/virtual", False),
        ("", True),  # what is in it is not noted
    ],
)
def test_it_is_asked_where_a_name_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, asked: bool
) -> None:
    calls: list[object] = []

    def run(argv: list[str], **_: object) -> Finished:
        calls.append(argv)
        return Finished(tuple(argv), 0, b"kvm\n", b"", None)

    monkeypatch.setattr(gather_facts, "_VIRT", str(tmp_path / "run/virt"))
    monkeypatch.setattr(process, "run", run)
    monkeypatch.setattr(process, "has_program", lambda _: True)
    made = Generation(1, str(tmp_path), ("lab",))
    if name:
        generations.note(made, {"lab": [Listed(name, False)]})
    for _ in range(2):
        assert gather_facts.virt(made) == ("kvm" if asked else "")
    assert len(calls) == asked
    assert gather_facts.virt(None) == ("kvm" if asked else "")
