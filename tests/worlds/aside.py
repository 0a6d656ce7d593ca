"""The client on this machine, in a mount namespace with an /etc, /run and /var/lib of its own."""

from __future__ import annotations

import subprocess
import sys

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PREPARE = """\
set -e
mount -t tmpfs tmpfs /run
for place in etc var/lib; do
    own=/run/own/$place
    mkdir -p $own/up $own/work
    mount -t overlay overlay -o lowerdir=/$place,upperdir=$own/up,workdir=$own/work /$place
done
eval "$1"
known=$2
shift 2
code=0
"$@" || code=$?
find /run/allie -mindepth 1 ! -name "$known" ! -path '/run/allie/bound*' \\
    ! -name secret -printf 'left: %P\\n' 2>/dev/null || true
exit $code
"""


def allie(
    *words: str, before: str = ":", known: str = "", path: str = PATH, seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run one command line; its outputs in one, and `left: NAME` for what it leaves in /run/allie.

    Notes of which partitions are bound do not count, nor does the secret of this boot.
    before: shell that prepares /etc. known: a file that may be left. path: where programs are.
    """
    own = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _PREPARE,
        "sh",
        before,
        known,
    ]
    return subprocess.run(
        [*own, sys.executable, "-I", "-m", "allie.cli.main", *words],
        env={"PATH": PATH, "ALLIE_PATH": path, "TERM": "dumb"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
    )
