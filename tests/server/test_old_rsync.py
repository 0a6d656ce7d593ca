"""A server with an rsync that follows links out of a module: 3.2.3, of Debian 11."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server.test_serve import answers
from tests.worlds import machine
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.store import free_port
from tests.worlds.toy import File, Link, Tree, make_tree
from tests.worlds.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]
SRC = Path(__file__).parents[2] / "src"
# A server of its own: / is a mount point there, as everywhere
_SERVER = """\
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
mount --bind "$2" "$1/mnt"
export PYTHONPATH=/mnt PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
chroot "$1" python3 -m allie.cli.main store init
exec chroot "$1" python3 -m allie.cli.main store serve --address 127.0.0.1 --port "$3"
"""


@pytest.mark.timeout(300)
def test_a_link_of_an_image_does_not_hand_out_the_servers_key(tmp_path: Path) -> None:
    if not machine.is_root():
        pytest.skip("needs root")
    try:
        root = debian_root("bullseye", tmp_path / "server", ("python3", "rsync"))
    except UnavailableError as error:
        pytest.skip(str(error))
    make_tree(root, {"etc/ssl/private/key": File("THE KEY\n", 0o600)})
    image: Tree = {"etc/hostname": "x\n", "usr/lib/ssl/private": Link("/etc/ssl/private")}
    make_tree(root / "srv/allie/images/x", image)
    port = free_port()
    alone = ["unshare", "-m", "--propagation", "private", "sh", "-c", _SERVER, "sh"]
    with subprocess.Popen([*alone, str(root), str(SRC), str(port)], cwd="/") as server:
        try:
            until(lambda: answers(port))
            url = f"rsync://127.0.0.1:{port}/images/x"
            came = tmp_path / "came"
            for options in ([], ["-L"], ["-k"], ["--copy-unsafe-links"]):
                for path in ("usr/lib/ssl/private/", "usr/lib/ssl/private/key"):
                    argv = ["rsync", "-a", *options, f"{url}/{path}", f"{came}/"]
                    subprocess.run(argv, capture_output=True, check=False)
            assert not [*came.rglob("key")]
            subprocess.run(["rsync", "-aHAX", f"{url}/", f"{tmp_path}/x"], check=True)
            assert os.readlink(tmp_path / "x/usr/lib/ssl/private") == "/etc/ssl/private"
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
    until(lambda: refuses(port), "it answers no more")


def refuses(port: int) -> bool:
    """Whether nobody listens; a server that ends just now resets the connection instead."""
    try:
        with suppress(ConnectionResetError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False
