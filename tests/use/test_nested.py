"""From one system into another: `allie` and exported programs work inside, Python or not."""

from __future__ import annotations

import pytest

from tests.use.world import USER, Base

pytestmark = [pytest.mark.root, pytest.mark.slow]
_DISTRO = ". /etc/os-release; echo $ID $ALLIE_SYSTEM"


def test_from_a_system_without_python_into_another_and_back(base: Base) -> None:
    assert base.sh("bb", "command -v python3").rc != 0
    there = f"allie enter deb -- sh -c '{_DISTRO}; id -un; exit 5'"
    said = base.sh("bb", there)
    assert (said.rc, said.lines) == (5, ["debian deb", USER])
    assert base.sh("bb", "allie enter thebase -- test -e /usr/local/bin/allie").ok()
    # and three deep, where the base is still the base
    deep = "allie enter deb -- allie enter bb -- allie enter deb -- sh -c 'ls -d /run/host/srv/bb'"
    assert base.sh("bb", deep).ok().lines == ["/run/host/srv/bb"]
    assert base.sh("bb", f"allie enter deb -- allie enter bb -- sh -c '{_DISTRO}'").lines == [
        "busybox bb"
    ]


def test_inside_a_system_its_own_name_needs_no_entering(base: Base) -> None:
    links = "readlink /proc/self/ns/mnt; allie enter bb -- readlink /proc/self/ns/mnt"
    first, second = base.sh("bb", links).ok().lines
    assert first == second


def test_the_client_inside_is_the_bases_and_as_quick(base: Base) -> None:
    """It finds the base's unpacked code: nothing is compiled anew."""
    said = base.sh("bb", "cat /usr/local/bin/allie; allie enter nope")
    assert "/run/host/usr/local/bin/allie" in said.out
    traced = base.sh("bb", "sed s/-ISBXutf8/-ISBvXutf8/ /run/allie/bin/allie > ~/v; sh ~/v enter x")
    base.run("rm", f"/home/{USER}/v").ok()
    assert "# <allie.machine.code.finder.Modules object" in traced.err


def test_an_exported_program_starts_by_its_name_everywhere(base: Base) -> None:
    said = base.run("allie", "export", "bb", "hello").ok()
    shim = f"/home/{USER}/.local/bin/hello"
    assert said.out == f"{shim}: /usr/local/bin/hello of bb\n"
    assert "is not in your PATH" in said.err
    try:
        assert base.run(shim, "a b").ok().lines == ["hello from bb a b"]
        assert base.enter("deb", shim, "you").ok().lines == ["hello from bb you"]
        assert base.sh("bb", f"PATH=~/.local/bin:$PATH; {shim}").ok().lines == ["hello from bb"]
        assert base.run("allie", "export", "bb", "hello").ok()  # again: it is ours to replace
    finally:
        base.run("rm", shim).ok()


def test_what_root_exports_everybody_has(base: Base) -> None:
    base.run("allie", "export", "bb", "/usr/local/bin/hello", "--as", "hi", root=True).ok()
    assert base.run("hi").ok().lines == ["hello from bb"]
    assert base.enter("deb", "hi").ok().lines == ["hello from bb"]
    base.run("rm", "/usr/local/bin/hi", root=True).ok()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["bb", "nosuch"], 2, "there is no program nosuch in /srv/bb"),
        (["nope", "ls"], 2, "allie.conf names no system 'nope'"),
        (["bb", "hello", "--as", "a/b"], 64, "no name for a program"),
        (["bb", "hello", "--to", "/home/ann", "--as", "mine"], 2, "was not made by allie export"),
    ],
)
def test_what_cannot_be_exported(base: Base, words: list[str], code: int, message: str) -> None:
    base.run("touch", f"/home/{USER}/mine").ok()
    said = base.run("allie", "export", *words)
    assert message in said.err
    assert said.rc == code
