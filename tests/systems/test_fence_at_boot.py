"""A PC of its own boots, and nobody can log in before the systems' directory is nosuid,nodev."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from allie.client.systems import fence
from allie.core.conf.settings import Declared
from allie.machine.roots import open_system
from tests import leftovers
from tests.worlds.debian import BOOTED, UnavailableError, debian_root
from tests.worlds.toy import make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]

_PROBE = """\
[Unit]
DefaultDependencies=no
After=basic.target
Before=systemd-user-sessions.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'setpriv --reuid=4242 --clear-groups /systems/el7/suid >/out 2>&1'
ExecStart=/bin/sh -c 'setpriv --reuid=4242 --clear-groups /systems/.el7.other/suid >>/out 2>&1'
ExecStart=/bin/sh -c 'findmnt -n -o OPTIONS /systems >>/out'
ExecStart=/bin/systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
"""


@pytest.mark.timeout(900)  # the first time it is made by mmdebstrap
def test_before_anybody_logs_in(tmp_path: Path) -> None:
    if not shutil.which("systemd-nspawn"):
        pytest.skip("needs systemd-nspawn")
    try:
        root = debian_root("bookworm", tmp_path / "pc", BOOTED)
    except (UnavailableError, FileNotFoundError) as error:
        pytest.skip(str(error))
    make_tree(root, {"etc/allie/system": "pc\n", "etc/systemd/system/probe.service": _PROBE})
    for name in ("el7", ".el7.other"):
        make_tree(root / "systems" / name, {"etc/allie/system": "el7\n"})
        shutil.copy(root / "usr/bin/id", root / "systems" / name / "suid")
        (root / "systems" / name / "suid").chmod(0o4755)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "probe.service").symlink_to("/etc/systemd/system/probe.service")
    declared = Declared("el7", "/systems/el7", "el7", ("kit",))
    fence.put_up(open_system.open_system(str(root)), declared, str(root / "systems/el7"))
    leftovers.unmount_below(root)
    boot = ["systemd-nspawn", "--quiet", f"--directory={root}", "--boot"]
    done = subprocess.run(
        [*boot, "--register=no", "--keep-unit"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=110,
    )
    said = (root / "out").read_text() if (root / "out").exists() else ""
    assert said, done.stdout[-2000:] + done.stderr[-2000:]
    assert said.count("uid=4242") == 2, "they run"
    assert "euid=0" not in said, "and give nothing"
    assert {"nosuid", "nodev"} <= set(said.splitlines()[-1].split(","))
