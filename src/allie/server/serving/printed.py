"""The parts that a site may take over by itself, as texts: `allie store serve --print PART`."""

from __future__ import annotations

from allie.server import store_conf
from allie.server.doors import haproxy, units
from allie.server.serving import setup
from allie.server.serving.setup import Asked

PARTS = ("systemd", "rsyncd", "sshd", "haproxy")


def part(top: str, name: str, asked: Asked) -> str:
    """One part of a store's serving, each file of it under its path. top: the store's real path."""
    rules, places = store_conf.read(top), store_conf.places(top)
    where = setup.ports(asked)
    if name == "haproxy":
        return haproxy.text(places, rules, where)
    files = setup.texts(places, rules)
    if name == "systemd":
        programs = setup.need_programs()
        made = units.texts(places, rules, where, programs)
        files = {f"{units.DIRECTORY}/{each}": text for each, text in made.items()}
    elif name == "sshd":
        files = {places.sshd: files[places.sshd]}
    else:
        del files[places.sshd]
    return "\n".join(f"#### {path}\n{text}" for path, text in files.items())
