"""The machine and the tools: what they are, and how the missing ones are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

from bench.peer import PATH


class Tool(Protocol):
    """What is installed, or is not."""

    @property
    def needs(self) -> str: ...
    @property
    def version(self) -> tuple[str, ...]: ...
    @property
    def package(self) -> str: ...


def describe(directory: Path) -> list[str]:
    uname = os.uname()
    release = uname.release.partition("-")[0]  # the rest says who built the kernel
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())
    gigabytes = int(memory.group(1)) / 2**20 if memory else 0
    load = " ".join(f"{part:.1f}" for part in os.getloadavg())
    return [
        f"{_processor()}, {os.cpu_count()} cores, {gigabytes:.0f} GB",
        f"{uname.sysname} {release} {uname.machine}, {_distribution()}",
        f"the roots and the store on {_file_system(directory)}; load at the start {load}",
    ]


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else os.uname().machine


def _distribution() -> str:
    found = re.search(
        r'^PRETTY_NAME="?([^"\n]*)', Path("/etc/os-release").read_text(), re.MULTILINE
    )
    return found.group(1) if found else "unknown distribution"


def _file_system(directory: Path) -> str:
    command = ["df", "--output=fstype", str(directory)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1]


def installed(peer: Tool) -> bool:
    """Whether its program is there and says its version."""
    return _runs(peer.needs, peer.version)


@cache
def _runs(program: str, version: tuple[str, ...]) -> bool:
    return shutil.which(program, path=PATH) is not None and _ask(version).returncode == 0


def version(peer: Tool) -> str:
    """Its program's name, and the first number with a dot in what that says of its version."""
    said = _ask(peer.version).stdout
    found = re.search(r"\d+\.[\w.+~-]*\w", said) or re.search(r"\b\d+\b", said)
    return f"{Path(peer.version[0]).name} {found.group() if found else 'of unknown version'}"


def _ask(version: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as home:  # some make a directory in it
        return subprocess.run(
            version,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": PATH, "HOME": home, "LANG": "C.UTF-8"},
            text=True,
            check=False,
        )


def install(peers: Sequence[Tool]) -> None:
    packages = sorted({peer.package for peer in peers if peer.package and not installed(peer)})
    if not packages:
        return
    if shutil.which("apt-get") is None:
        print(f"bench: no apt-get here; install by hand: {' '.join(packages)}", file=sys.stderr)
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _runs.cache_clear()
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    subprocess.run(["apt-get", "update"], env=env, check=False)
    subprocess.run(command, env=env, check=True)
