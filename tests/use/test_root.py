"""Root enters as administrator: the system is its own, and the base's services are out of reach."""

from __future__ import annotations

import pytest

from tests.use.world import Base

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize("words", [[], ["--user", "root"]])
def test_root_is_root_there(base: Base, words: list[str]) -> None:
    script = "id -u; ls /root/conf; echo new > /etc/made; pwd; grep -c ann /etc/passwd"
    said = base.run("allie", "enter", *words, "bb", "--", "sh", "-c", script, root=True)
    assert said.ok().lines == ["0", "50thing", "/root", "1"]
    assert base.run("cat", "/srv/bb/etc/made").lines == ["new"]
    assert base.run("test", "-e", "/etc/made").rc == 1
    base.run("rm", "/srv/bb/etc/made", root=True).ok()


def test_the_names_are_the_systems_own(base: Base) -> None:
    """An `adduser` in there must not touch the base's passwd."""
    theirs = base.run("cat", "/srv/deb/etc/passwd").out
    assert base.enter("deb", "cat", "/etc/passwd", root=True).out == theirs
    assert base.run("cat", "/etc/passwd").out != theirs


def test_no_service_of_the_base_is_in_reach(base: Base) -> None:
    assert base.enter("deb", "ls", "/run", root=True).ok().lines == ["allie", "host"]
    said = base.sh("deb", "echo $SYSTEMD_OFFLINE $ALLIE_OFFLINE", root=True)
    assert said.lines == ["1 1"]


def test_the_bases_resolver_serves_and_cannot_be_written(base: Base) -> None:
    base.run("touch", "/srv/bb/etc/resolv.conf", root=True).ok()
    try:
        said = base.sh("bb", "cat /etc/resolv.conf; echo mine > /etc/resolv.conf", root=True)
        assert said.lines == ["nameserver 192.0.2.53"]
        assert "Read-only" in said.err
        assert base.run("cat", "/etc/resolv.conf").lines == ["nameserver 192.0.2.53"]
        assert base.run("cat", "/srv/bb/etc/resolv.conf").lines == []
    finally:
        base.run("rm", "/srv/bb/etc/resolv.conf", root=True).ok()


def test_root_goes_on_from_one_system_into_another(base: Base) -> None:
    there = "/run/allie/bin/allie enter deb -- sh -c '. /etc/os-release; echo $ID; id -u'"
    assert base.sh("bb", there, root=True).ok().lines == ["debian", "0"]
    assert base.sh("bb", "allie", root=True).lines == ["not this one"]  # the system's own client


def test_no_mount_stays(base: Base) -> None:
    before = base.run("cat", "/proc/self/mounts").out
    base.enter("deb", "mount", "-t", "tmpfs", "tmpfs", "/mnt", root=True).ok()
    assert base.run("cat", "/proc/self/mounts").out == before


def test_setuid_programs_work_for_root_in_a_system_that_is_nosuid(base: Base) -> None:
    """On the base they give nothing to anybody (client.fence); in root's view su and sudo work."""
    base.run("cp", "/srv/deb/usr/bin/id", "/srv/deb/usr/bin/suid", root=True).ok()
    base.run("chmod", "4755", "/srv/deb/usr/bin/suid", root=True).ok()
    mount = "mount --bind /srv/deb /srv/deb && mount -o remount,bind,nosuid,nodev /srv/deb"
    base.run("sh", "-c", mount, root=True).ok()
    try:
        assert base.run("/srv/deb/usr/bin/suid", "-un").ok().lines != ["root"]
        inside = "setpriv --reuid=1 --clear-groups suid -un"
        assert base.sh("deb", inside, root=True).lines == ["root"]
        assert base.sh("deb", "id -un").ok().lines == base.run("id", "-un").lines, "users enter too"
        assert base.run("/srv/deb/usr/bin/suid", "-un").lines != ["root"], "outside as before"
    finally:
        base.run("umount", "/srv/deb", root=True).ok()
        base.run("rm", "/srv/deb/usr/bin/suid", root=True).ok()


def test_an_old_system_without_run_or_resolver(base: Base) -> None:
    """What the base's is shown at must be there: it is made, and belongs to every system."""
    base.run("sh", "-c", "cp -a /srv/bb /srv/old; rmdir /srv/old/run", root=True).ok()
    for way in ("old", "older"):
        words = ["--root", f"/srv/{way}", "--", "cat", "/etc/resolv.conf"]
        said = base.run("allie", "enter", *words, root=True)
        assert said.ok().lines == ["nameserver 192.0.2.53"]
        assert base.run("ls", "-A", f"/srv/{way}/run", root=True).ok().lines == []
        made = base.run("stat", "-c", "%s %a", f"/srv/{way}/etc/resolv.conf")
        assert made.ok().lines == ["0 644"]
        base.run("sh", "-c", "mv /srv/old /srv/older; rm /srv/older/etc/resolv.conf", root=True)
    base.run("rm", "-r", "/srv/older", root=True).ok()


@pytest.mark.parametrize("make", ["ln -s var/run", "touch"])
def test_a_run_that_is_no_directory_is_named(base: Base, make: str) -> None:
    base.run("sh", "-c", f"cp -a /srv/bb /srv/odd; cd /srv/odd; rmdir run; {make} run", root=True)
    said = base.run("allie", "enter", "--root", "/srv/odd", "--", "true", root=True)
    base.run("rm", "-r", "/srv/odd", root=True).ok()
    assert (said.rc, "/srv/odd: its /run is no directory" in said.err) == (2, True)
