"""A real distribution as a PC's second system: Debian 11, no Python, /usr not merged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.room import Room, in_system, section, settles
from tests.tick.site import script
from tests.use.world import Base, possible
from tests.worlds.debian import UnavailableError, debian_root

pytestmark = [pytest.mark.real, pytest.mark.root, pytest.mark.slow]


@pytest.mark.timeout(900)  # the first time it is made by mmdebstrap
def test_bullseye_without_python(tmp_path: Path) -> None:
    if not possible():
        pytest.skip("needs root, and namespaces for users")
    with Room(tmp_path) as room:
        try:
            image = debian_root("bullseye", room.store / "images/bullseye")
        except (UnavailableError, FileNotFoundError) as error:
            pytest.skip(str(error))
        assert not list(image.glob("usr/bin/python3*"))
        assert not (image / "lib").is_symlink()
        room.overlay(
            {
                "etc/motd": "common\n",
                "etc/issue##version.11": "eleven\n",
                "lib/site/note": "in its own /lib\n",
                "root/conf/50dpkg": script("dpkg-query -W -f '${Version}' base-files >/ran"),
            }
        )
        room.declare(section("bullseye"))
        pc = room.pc("pc07", {"usr/bin/dpkg-query": script("echo of the base")})
        settles(pc, "bullseye")
        root = pc.root / "systems/bullseye"
        assert (root / "etc/issue").read_text() == "eleven\n", "its own facts choose"
        assert (root / "lib/site/note").is_file()
        assert not (root / "lib").is_symlink()
        assert (root / "ran").read_text().startswith("11"), "its own dpkg ran, in its own root"
        passwd = (image / "usr/bin/passwd").stat()
        assert (root / "usr/bin/passwd").stat().st_mode == passwd.st_mode
        (root / "etc/motd").write_text("drifted\n")
        scripts = pc.tick()
        assert scripts["98systems"]["state"] == "satisfied", scripts
        assert (root / "etc/motd").read_text() == "common\n"
        status = in_system(pc, "bullseye", "status", "--json").ok().json
        assert (status["system"], status["image"]) == ("bullseye", "bullseye")
        with Base(tmp_path / "base", {"deb": root}) as base:
            said = base.sh("deb", ". /etc/os-release; echo $VERSION_ID; id -un; ls -d ~").ok()
            assert said.lines == ["11", "ann", "/home/ann"]
            assert base.sh("deb", "command -v python3").rc != 0
            assert base.sh("deb", "exit 42").rc == 42
