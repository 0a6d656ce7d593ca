"""The world of virtual machines itself: it boots, and it reaches the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.worlds import qemu
from tests.worlds.store import served

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.vm]


@pytest.mark.timeout(3600)
def test_a_guest_boots_and_reaches_the_hosts_store(tmp_path: Path, bootable: Path) -> None:
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(bootable), str(root)], check=True)
    with served(tmp_path / "store") as server:
        (server.store / "overlays/common").mkdir(parents=True, exist_ok=True)
        (server.store / "overlays/common/motd").write_text("from the store\n")
        url = server.url.replace("127.0.0.1", qemu.HOST)
        qemu.run_at_boot(
            root, f"rsync -a {url}/overlays/common/motd /tmp/motd && cat /tmp/motd && uname -r"
        )
        disk = qemu.image_of(root, tmp_path / "disk")
        shutil.rmtree(root)
        options = [*qemu.disk(disk, snapshot=True), *qemu.kernel(bootable, "root=/dev/vda rw")]
        with qemu.guest(tmp_path / "guest", options) as guest:
            said = guest.wait_for("cloud-amd64", results=True)
            assert "from the store" in said
            guest.wait(60)


def test_a_line_that_never_comes_fails_and_nothing_goes_on(tmp_path: Path) -> None:
    with (
        pytest.raises(qemu.NotBooted, match=r"no 'login:' after 1 s"),
        qemu.guest(tmp_path / "guest", [], memory=64) as guest,
    ):
        guest.wait_for("login:", 1)
    assert guest.process.poll() is not None
