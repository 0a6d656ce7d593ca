"""`allie store setup` never touches what is another program's, or another store's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from allie.core.errors import StateError
from allie.server import store as stores
from allie.server import store_conf, systemd
from allie.server.doors import units
from allie.server.serving import accounts, setup
from tests.worlds.toy import Tree, make_tree

STRANGE: dict[str, Tree] = {
    "sshd's own": {"sshd_config": "Port 22\n", "ssh_host_ed25519_key": "its key\n"},
    "everybody's": {"fstab": "", "passwd": ""},
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose keys are in another directory, on a server whose units are in a third."""
    (tmp_path / "units").mkdir()
    monkeypatch.setattr(systemd, "DIRECTORY", str(tmp_path / "units"))
    monkeypatch.setattr(accounts, "make", list)
    monkeypatch.setattr(accounts, "remove", list)
    monkeypatch.setattr(systemd, "is_there", lambda: False)
    stores.init(str(tmp_path / "store"))
    conf = f"[serve]\nhosts allow = 127.0.0.1\netc = {tmp_path}/etc\n"
    (tmp_path / "store" / store_conf.NAME).write_text(conf)
    return tmp_path / "store"


def both(store: Path) -> tuple[Iterator[str], ...]:
    """Setting up, and undoing it."""
    top = str(store)
    return setup.set_up(top, setup.Asked()), setup.remove(top, keys=True)


@pytest.mark.parametrize("what", STRANGE)
def test_a_directory_of_another_program_is_left_alone(store: Path, what: str) -> None:
    etc = store.parent / "etc"
    make_tree(etc, STRANGE[what])
    etc.chmod(0o755)
    for lines in both(store):
        with pytest.raises(StateError, match="did not write"):
            list(lines)
    assert etc.stat().st_mode & 0o777 == 0o755
    assert {path.name: path.read_text() for path in etc.iterdir()} == STRANGE[what]


@pytest.mark.parametrize("name", ["authorized_hosts", "ssh_host_ed25519_key.new"])
def test_one_in_which_it_began_is_its_own(store: Path, name: str) -> None:
    make_tree(store.parent / "etc", {name: ""})
    setup.need_directory(store_conf.places(str(store)))


def test_the_doors_of_another_store_stay_open(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    stores.init(str(other))
    unit = tmp_path / "units" / units.RSYNC
    unit.write_text(f"[Service]\nExecStart=/usr/bin/allie store serve --port 873 --store {other}\n")
    for lines in both(store):
        with pytest.raises(StateError, match=f"those of {other}"):
            list(lines)
    (other / store_conf.NAME).unlink()  # it was moved, and is this one now
    setup._need_own(store_conf.places(str(store)))
