"""The guard of the unit tests: no program but a fake one."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.conftest import Call, FakePrograms


def test_a_program_in_a_unit_test_fails_it() -> None:
    with pytest.raises(pytest.fail.Exception, match="started a program"):
        subprocess.run(["true"], check=True)
    with pytest.raises(pytest.fail.Exception, match="started a program"):
        os.system("true")  # noqa: S605


def test_a_fake_program_notes_its_arguments(fake_programs: FakePrograms) -> None:
    fake_programs.add("rsync", out="hello\n", rc=23, err="oh\n")
    done = subprocess.run(["rsync", "-a", "two words", "new\nline"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (23, "hello\n", "oh\n")
    assert fake_programs.calls == [Call("rsync", ["-a", "two words", "new\nline"])]
    assert fake_programs.calls_of("rsync") == [["-a", "two words", "new\nline"]]
