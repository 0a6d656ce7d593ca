"""A server from the package alone, with a real systemd: set up, joined to itself, removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from allie import __version__
from tests.packaging.test_packages import DEB, TOP, on_debian, run
from tests.server.test_doors_booted import Server

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow, on_debian]
STAGE = """\
said install dpkg -i /allie.deb
said init allie store init
said setup allie store setup
said check allie store serve --check
said unit cat /etc/systemd/system/allie-store.service
said join allie join --system server /srv/allie
said by-the-kits-client /usr/local/bin/allie store setup
said version /usr/local/bin/allie --version
said timer allie fleet --metrics /srv/allie.prom --timer
said remove dpkg --remove allie-server
said sockets systemctl list-sockets --no-pager
said left ls /etc/systemd/system
said store ls /srv/allie/etc /srv/allie/overlays
said back dpkg -i /allie.deb
said anew /usr/bin/allie store setup
"""


@pytest.mark.timeout(1200)  # the first time the Debian is made by mmdebstrap
def test_installed_set_up_and_removed(tmp_path: Path) -> None:
    run(TOP / "tools/export", tmp_path / "sources")
    run(tmp_path / "sources/tools/deb")
    server = Server(tmp_path / "server")
    shutil.rmtree(server.root / "opt/allie")
    (server.root / "usr/local/bin/allie").unlink()
    shutil.copy(tmp_path / "sources/build/deb" / DEB, server.root / "allie.deb")

    said = server.boot(STAGE)
    ended = {name: status for name, (_, status) in said.items()}
    assert set(ended.values()) == {0}, said
    assert "ExecStart=/usr/bin/allie store serve --port 873 --store " in said["unit"][0]
    assert said["by-the-kits-client"][0].startswith("nothing changed\n")
    assert said["version"][0] == f"allie {__version__}\n"
    assert "closed allie-store.service\nclosed allie-own.socket\n" in said["remove"][0]
    assert "allie-" not in said["sockets"][0]
    gone = {"allie-store.service", "allie-own@.service", "allie-fleet.service", "allie-fleet.timer"}
    assert "allie-fleet.timer\n" in said["timer"][0] and "allie-fleet" in said["remove"][0]
    assert not gone & set(said["left"][0].split())
    assert {"ssh_host_ed25519_key", "common", "kit"} <= set(said["store"][0].split())
    key = said["setup"][0].partition("SHA256:")[2].split()[0]
    assert key in said["anew"][0], "PCs still know it"
