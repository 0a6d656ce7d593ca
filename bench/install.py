"""`python -m bench.install`: from an empty disk to a login prompt, split in steps.

QEMU by emulation, so the seconds say little; the shares of the steps do, and bare rsync of the same
image in the same run. Writes bench/INSTALL.md. It needs root.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import machine
from tests.worlds import qemu
from tests.worlds.bare_metal import Site, empty_disk
from tests.worlds.store import served

TOP = Path(__file__).resolve().parents[1]
# What a console says at the end of each step
_INSTALLER = {
    "the installer's kernel and network": "allie: allie install",
    "partitions and file systems": "partitions and file systems: there",
    "image, what is this PC's own, first tick": "fetched, and its first tick is done",
    "boot menu and GRUB": "is installed on",
}
_PC = {"firmware, GRUB, kernel": "Linux version", "to the login prompt": "login:"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=TOP / "bench/INSTALL.md")
    args = parser.parse_args()
    if not qemu.firmware().exists():
        sys.exit("bench: needs QEMU and OVMF (make setup-test)")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        text = play(Path(folder))
    args.out.write_text(text)
    print(text)
    return 0


def play(top: Path) -> str:
    """Make the store and the installer, install, boot: the page."""
    site = Site(top, {})
    began = time.monotonic()
    site.make()
    steps = {"`allie image installer` (once, on the server)": time.monotonic() - began}
    began = time.monotonic()
    subprocess.run(["cp", "-a", str(site.image), str(top / "copy")], check=True)
    copied = time.monotonic() - began
    disk = top / "disk"
    with served(site.store) as server:
        more = [*site.boot_installer(server), *empty_disk(disk)]
        steps.update(follow(top / "installer", more, _INSTALLER))
        steps.update(follow(top / "pc", qemu.disk(disk), _PC))
    done = subprocess.run(["du", "-sm", str(site.image)], check=True, capture_output=True)
    return page(steps, copied, int(done.stdout.split()[0]))


def follow(folder: Path, more: list[str], marks: dict[str, str]) -> dict[str, float]:
    """Run a guest; the seconds from one mark on its console to the next."""
    found, last = {}, time.monotonic()
    with qemu.guest(folder, more) as guest:
        for step, text in marks.items():
            guest.wait_for(text, 600)
            found[step], last = time.monotonic() - last, time.monotonic()
    return found


def page(steps: dict[str, float], copied: float, size: int) -> str:
    """The table. size: the image's, in MiB."""
    whole = sum(list(steps.values())[1:])
    lines = [
        "# From an empty disk to a login prompt",
        "",
        "Written by `python -m bench.install`: one run in QEMU without KVM, BIOS, one emulated"
        f" processor, an image of {size} MiB (Debian 12 with its cloud kernel).",
        "",
        *(f"- {each}" for each in machine.describe(Path("/var/tmp"))),
        "",
        "| step | seconds | share |",
        "| --- | ---: | ---: |",
    ]
    for number, (step, seconds) in enumerate(steps.items()):
        share = f"{100 * seconds / whole:.0f} %" if number else ""
        lines.append(f"| {step} | {seconds:.1f} | {share} |")
    lines.append(f"| **from the empty disk to the prompt** | **{whole:.1f}** | |")
    lines += ["", f"On the server itself `cp -a` of the image takes {copied:.1f} s."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
