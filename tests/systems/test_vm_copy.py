"""The throw-away copy that `allie vm` boots holds whatever tree it is of."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from allie.client.use import vm
from allie.machine.programs import process

pytestmark = [pytest.mark.root, pytest.mark.real]


@pytest.mark.parametrize("kind", ["symlinks", "small files", "one large file"])
def test_a_tree_of_any_shape_is_copied(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An icon theme has a hundred thousand symlinks: more inodes than its bytes would tell."""
    monkeypatch.setattr(vm, "_SPARE", 4 << 20)
    monkeypatch.setattr(vm, "_SPARE_INODES", 100)
    monkeypatch.setattr(vm, "_SCRATCH", str(tmp_path))
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    for number in range(2500 if kind != "one large file" else 1):
        path = root / f"etc/{number}"
        if kind == "symlinks":
            path.symlink_to("../icon.svg")
        else:
            path.write_bytes(b"x" * (40 << 20 if kind == "one large file" else 5))
    image = vm._copy(str(root), "")
    try:
        name = f"/proc/self/fd/{image}"
        listed = process.run(["debugfs", "-R", "ls -p /etc", name], keep=[image], check=True).out
    finally:
        os.close(image)
    names = {line.split(b"/")[5] for line in listed.splitlines() if line.startswith(b"/")}
    assert set(map(os.fsencode, os.listdir(root / "etc"))) <= names
