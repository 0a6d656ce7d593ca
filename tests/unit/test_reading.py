"""A small file that is not there says nothing; one that cannot be read just now is trouble."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.machine.files import atomic

TROUBLE = [errno.EIO, errno.ENOTCONN, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM]
NONE = [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.ESRCH]


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize("number", TROUBLE)
def test_trouble_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = tmp_path / "ledger"
    path.write_text("precious")

    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(StateError, match=f"ledger cannot be read: {os.strerror(number)}"):
        atomic.read(str(path))


@pytest.mark.parametrize("number", NONE)
def test_what_is_not_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fails)
    assert atomic.read(str(tmp_path / "ledger")) is None


def test_no_regular_file_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link", "nothing", ".", "fifo/below"):
        assert atomic.read(str(tmp_path / name)) is None
