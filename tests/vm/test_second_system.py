"""A second system arrives while the first runs, is booted once, and the first one comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.worlds import qemu
from tests.worlds.bare_metal import SOON, stock
from tests.worlds.installing import install_onto, url_of
from tests.worlds.store import served
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm, pytest.mark.vm_all]

_LAYOUT = "[layout]\nboot = 256M\nsystem1 = 900M\nsystem2 = 900M\nswap = 32M\n"
_CONF = """\
[allie]
store = {store}
[system deb]
root = PARTLABEL=system1
image = deb
overlays = kit, common
[system two]
root = PARTLABEL=system2
image = two
overlays = kit, common
"""
# What an administrator would type, typed by a conf script that only a booted system runs
_SCRIPT = """\
#!/bin/sh
# allie: every tick
# allie: timeout 20m
[ -d /run/systemd/system ] && [ -z "$ALLIE_OFFLINE" ] || exit 75
echo "ticked in $(cat /etc/allie/system)" >/dev/ttyS1
[ "$(cat /etc/allie/system)" = deb ] && [ ! -e /tried ] || exit 0
until allie system list | grep -q '^two  *there'; do sleep 2; done
touch /tried
allie boot two --once >/dev/ttyS1 2>&1
sync
echo "typed" >/dev/ttyS1
"""


@pytest.mark.timeout(3600)
def test_a_second_system_arrives_and_is_booted_once(tmp_path: Path) -> None:
    top, file = tmp_path / "store", tmp_path / "disk"
    stock(top, ["deb", "two"], {**SOON, "root/conf/99probe": File(_SCRIPT, 0o755)})
    subprocess.run(["truncate", "-s", "2200M", str(file)], check=True)
    with served(top) as server:
        conf = _CONF.format(store=url_of(server))
        make_tree(top / "overlays/common", {"etc/allie/allie.conf": conf})
        install_onto(file, server, _LAYOUT)
        assert _boot(tmp_path / "1", file, "typed").startswith("ticked in deb\ntwo/")
        assert _boot(tmp_path / "2", file, "ticked in two") == "ticked in two"
        assert _boot(tmp_path / "3", file, "ticked in deb") == "ticked in deb"


def _boot(folder: Path, file: Path, until: str) -> str:
    """Boot the PC until it says so, and pull the plug; all that it said."""
    with qemu.guest(folder, qemu.disk(file), memory=1024) as guest:
        return guest.wait_for(until, results=True).replace("\r", "").strip()
