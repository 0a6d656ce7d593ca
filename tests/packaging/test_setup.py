"""`make setup`, for a server that runs from the source: nothing that only developers need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
# It asks whether these are there, and installs what is not
ASKED = "rsync busybox python3 awk cat chmod dirname find ln ls mkdir rm sed sh uname".split()


@pytest.mark.slow
def test_a_server_gets_no_linter_and_no_package(tmp_path: Path) -> None:
    """The command works, and asked neither apt nor an index, though neither is far."""
    project = tmp_path / "allie"
    subprocess.run([TOP / "tools/export", project], check=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ASKED:
        found = shutil.which(name, path="/usr/bin:/bin")
        if found:
            (programs / name).symlink_to(found)
    for name in ("apt-get", "pip", "curl", "id"):
        (programs / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/called\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(project / "tools/setup"), "run"],
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "called").exists(), done.stdout
    site = next(project.glob(".venv/lib/python3*/site-packages"))
    assert os.listdir(site) == ["allie.pth"]
    command = [str(project / ".venv/bin/allie"), "--version"]
    assert subprocess.run(command, capture_output=True, check=True).stdout.startswith(b"allie ")
