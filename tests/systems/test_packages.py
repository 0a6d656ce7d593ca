"""Installing packages in another system: its conf scripts have the powers which that takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tick.site import TickPC, script
from tests.worlds.debian import UnavailableError, debian_root
from tests.worlds.toy import File, make_tree

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]

_CONTROL = """\
Package: toy
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Description: does what packages do when they are installed
"""
# What maintainer scripts of Debian's own packages do: users, owners, modes, libraries, states
_POSTINST = """\
#!/bin/sh
set -ex
useradd --system --home-dir /var/lib/toy --no-create-home --shell /usr/sbin/nologin toy
install -d -o toy -g toy -m 2750 /var/lib/toy
chown toy:toy /usr/share/toy/data; chmod 4755 /usr/share/toy/tool
dpkg-statoverride --add --update toy toy 0640 /usr/share/toy/conf
update-alternatives --install /usr/bin/toy toy /usr/share/toy/tool 10
ldconfig
printf 'password\\npassword\\n' | passwd toy
su -s /bin/sh -c 'touch /var/lib/toy/mine' toy
perl -e 'use POSIX; setgid(1); setuid(1); exit(POSIX::getuid() == 1 ? 0 : 1)'
touch /tmp/i && chattr +i /tmp/i && chattr -i /tmp/i || ! command -v chattr
chroot / /bin/true
nice -n -1 true
"""
_DEVICES = "set -e; mknod -m 666 /var/lib/null c 1 3; echo x >/var/lib/null"


@pytest.mark.timeout(900)  # the first time it is made by mmdebstrap
def test_a_package_is_installed_with_all_that_its_scripts_do(tmp_path: Path) -> None:
    try:
        root = debian_root("bookworm", tmp_path / "pc")
    except (UnavailableError, FileNotFoundError) as error:
        pytest.skip(str(error))
    make_tree(
        root,
        {
            "etc/allie/system": "toy\n",
            "etc/allie/allie.conf": "[allie]\nstore = /nowhere\n[system toy]\nimage = toy\n"
            "overlays = kit\n",
            "etc/hostname": "pc07\n",
            "root/conf/00overlay": script("true", mode=0o644),
            "tmp/toy/DEBIAN/control": _CONTROL,
            "tmp/toy/DEBIAN/postinst": File(_POSTINST, 0o755),
            "tmp/toy/usr/share/toy/data": "data\n",
            "tmp/toy/usr/share/toy/conf": "conf\n",
            "tmp/toy/usr/share/toy/tool": File("#!/bin/sh\n", 0o755),
            "root/conf/50install": script(
                "set -e; export DEBIAN_FRONTEND=noninteractive",
                "dpkg-deb --root-owner-group --build /tmp/toy /tmp/toy.deb",
                "apt-get install -y /tmp/toy.deb",
                "dpkg --audit",
            ),
            "root/conf/60device": script(_DEVICES, head="#!/bin/sh"),
            "root/conf/61device": script("# allie: needs mknod", _DEVICES.replace("null", "nul")),
        },
    )
    scripts = TickPC(root).tick(rc=None)
    log = (root / "var/log/allie/50install.log").read_text()
    assert scripts["50install"]["state"] == "satisfied", log
    assert "install ok installed" in (root / "var/lib/dpkg/status").read_text()
    assert (root / "var/lib/toy/mine").stat().st_uid == (root / "usr/share/toy/data").stat().st_uid
    assert (root / "usr/share/toy/tool").stat().st_mode & 0o4000
    assert (root / "usr/bin/toy").resolve(strict=False)
    assert scripts["60device"]["state"] == "failing", "device files are asked for"
    assert scripts["61device"]["state"] == "satisfied"
