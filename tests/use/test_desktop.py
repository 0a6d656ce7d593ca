"""Programs with windows, and users whom the base knows from elsewhere than its files, for real.

An X server runs, and is asked from within the system, as by a program of the base's menu. It is
the system's own Xvfb, run by root: nothing of its place is the user's, as on a PC.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.use.world import UID, USER, Base, possible
from tests.worlds.debian import UnavailableError, debian_root

pytestmark = [pytest.mark.root, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(900)]
PACKAGES = ("libnss-extrausers", "x11-utils", "xauth", "xvfb")
DISPLAY = ":97"
COOKIE = "0123456789abcdef0123456789abcdef"
OTHER, OTHER_UID = "nis", 31999
# The base's users come from its files, and from those of another service: $0, its ids $1.
_ANOTHER_SERVICE = """\
set -e
mkdir -p /var/lib/extrausers "/home/$0" /usr/local/nss
chown "$1" "/home/$0"
echo "$0:x:$1::/home/$0:/bin/sh" > /var/lib/extrausers/passwd
echo "$0s:x:${1%:*}:" > /var/lib/extrausers/group
echo passwd: files extrausers > /etc/nsswitch.conf
echo group: files extrausers >> /etc/nsswitch.conf
cp /srv/deb/usr/lib/libnss_extrausers.so.2 /usr/local/nss/
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    """A base whose one other system has X11's programs."""
    if not possible():
        pytest.skip("needs root, and namespaces for users")
    top = tmp_path_factory.mktemp("desktop")
    try:
        root = debian_root("bookworm", top / "deb", PACKAGES)
    except (UnavailableError, FileNotFoundError) as error:
        pytest.skip(str(error))
    with Base(top / "base", {"deb": root}) as made:
        yield made
    shutil.rmtree(root)


@contextmanager
def _x_server(base: Base, secret: str) -> Iterator[None]:
    """An X server that lets in who has the secret; its socket is in the base's /tmp."""
    server = ["Xvfb", DISPLAY, "-screen", "0", "640x480x24", "-nolisten", "tcp", "-auth", secret]
    argv = base.argv("allie", "enter", "deb", "--", *server, "-displayfd", "1", root=True)
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout
        try:
            assert running.stdout.readline() == f"{DISPLAY[1:]}\n".encode(), "it says: it is ready"
            base.run("test", "-S", f"/tmp/.X11-unix/X{DISPLAY[1:]}").ok()
            yield
        finally:
            running.terminate()


def _ask(base: Base, **env: str) -> tuple[int, str]:
    """`xdpyinfo` in the system, by a user with this environment."""
    words = [f"{name}={value}" for name, value in env.items()]
    said = base.run("env", *words, "allie", "enter", "deb", "--", "xdpyinfo")
    return said.rc, said.out + said.err


def test_a_program_with_windows_finds_the_x_server_and_its_secret(base: Base) -> None:
    home, other = f"/home/{USER}/.Xauthority", f"/run/user/{UID}/xauth_abc"
    add = ["xauth", "-f", home, "add", DISPLAY, ".", COOKIE]
    base.enter("deb", *add).ok()
    base.run("cp", home, "/tmp/the-servers", root=True).ok()
    with _x_server(base, "/tmp/the-servers"):
        rc, said = _ask(base, DISPLAY=DISPLAY)
        assert rc == 0, said
        assert "dimensions:    640x480 pixels" in said
        base.run("mv", home, other).ok()
        rc, said = _ask(base, DISPLAY=DISPLAY)
        assert rc != 0, "without the secret nobody is let in"
        rc, said = _ask(base, DISPLAY=DISPLAY, XAUTHORITY=other)
        assert rc == 0, said
        assert _ask(base, XAUTHORITY=other)[0] != 0, "without DISPLAY there is no X"
        rc, said = _ask(base, DISPLAY=f"unix{DISPLAY}", XAUTHORITY=other)
        assert rc == 0, said
    base.run("rm", other).ok()


def test_a_user_whom_no_file_of_the_base_names(base: Base) -> None:
    """The name comes from another service of the name service switch (LDAP, SSSD, NIS)."""
    ids = f"{OTHER_UID}:{OTHER_UID}"
    base.run("sh", "-c", _ANOTHER_SERVICE, OTHER, ids, root=True).ok()
    person = ["setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups", "env"]
    person += ["LD_LIBRARY_PATH=/usr/local/nss", f"HOME=/home/{OTHER}", f"USER={OTHER}"]
    assert base.run(*person, "id", "-un", root=True).ok().lines == [OTHER], "the base knows it"
    script = "id -un; id -gn; ls -ld ~ | cut -d' ' -f3,4; getent passwd ann | cut -d: -f3"
    said = base.run(*person, "allie", "enter", "deb", "--", "sh", "-c", script, root=True).ok()
    assert said.lines == [OTHER, f"{OTHER}s", f"{OTHER} {OTHER}s", str(UID)]
