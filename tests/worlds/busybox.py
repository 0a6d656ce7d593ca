"""A real root of 2 MB made of busybox alone: a shell, two hundred applets, no Python.

Merged-/usr (`bin -> usr/bin` and so on). Quick enough to be made anew for each test.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.worlds.toy import OS_RELEASE, Dir, File, Link, Tree, make_tree

BASE: Tree = {
    "bin": Link("usr/bin"),
    "sbin": Link("usr/sbin"),
    "lib": Link("usr/lib"),
    "lib64": Link("usr/lib64"),
    "usr/lib64": Dir(),
    "boot": Dir(),
    "dev": Dir(),
    "home": Dir(),
    "mnt": Dir(),
    "proc": Dir(0o555),
    "root": Dir(0o700),
    "run": Dir(),
    "sys": Dir(0o555),
    "tmp": Dir(0o1777),
    "var/run": Link("/run"),
    "var/lib": Dir(),
    "var/log": Dir(),
    "var/tmp": Dir(0o1777),
    "etc/os-release": Link("../usr/lib/os-release"),
    "usr/lib/os-release": OS_RELEASE.replace("toy", "busybox").replace("Toy", "Busybox"),
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/machine-id": "",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n",
    "etc/group": "root:x:0:\nann:x:1000:\n",
    "etc/shadow": File("root:*:19000:0:99999:7:::\n", 0o640),
}


@cache
def _applets() -> tuple[str, ...]:
    """The applets' places, `usr/bin/awk`, with bin/ and sbin/ where merged-/usr has them."""
    listed = subprocess.run(
        ["busybox", "--list-full"], check=True, capture_output=True, text=True
    ).stdout.split()
    placed = (name if name.startswith("usr/") else f"usr/{name}" for name in listed)
    return tuple(name for name in placed if name.startswith(("usr/bin/", "usr/sbin/")))


def busybox_root(top: Path, tree: Tree | None = None) -> Path:
    """A busybox root at `top`, with `tree` over it; returns `top`."""
    program = shutil.which("busybox")
    if program is None:
        raise FileNotFoundError("busybox is missing: run `make setup`")
    links: dict[str | bytes, Link] = {
        name: Link("/usr/bin/busybox") for name in _applets() if name != "usr/bin/busybox"
    }
    make_tree(top, {**BASE, **links})
    shutil.copy(program, top / "usr/bin/busybox")
    return make_tree(top, tree or {})
