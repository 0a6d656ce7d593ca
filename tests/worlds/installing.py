"""`allie install` on a disk of this machine, in a mount namespace with an /etc and /run of its own.

The store has the same name there and in a guest of QEMU's: store.test is loopback here, HOST there.
"""

from __future__ import annotations

import subprocess
import sys

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PREPARE = """\
set -e
mount -t tmpfs tmpfs /run
mkdir /run/up /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work /etc
echo "127.0.0.1 localhost store.test" > /etc/hosts
code=0
"$@" || code=$?
find /run/allie -mindepth 1 ! -name virt 2>/dev/null | sed 's/^/left: /'
exit $code
"""


def install(
    where: str, store: str, *words: str, image: str = "deb", path: str = PATH
) -> subprocess.CompletedProcess[str]:
    """`allie install` on a disk of this machine; its outputs in one."""
    own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _PREPARE, "sh"]
    client = [sys.executable, "-I", "-m", "allie.cli.main", "install", "--disk", where]
    return subprocess.run(
        [*own, *client, "--image", image, "--store", store, *words],
        env={"PATH": PATH, "ALLIE_PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=120,
    )
