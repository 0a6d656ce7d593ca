"""The parts that a site may take over by itself, as texts: `allie store serve --print PART`."""

from __future__ import annotations

from allie.server import store_conf, systemd
from allie.server.doors import haproxy, rsyncd_conf, units
from allie.server.serving import foreground, setup
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
        made = units.texts(places, rules, where, setup.need_programs())
        files = {f"{systemd.DIRECTORY}/{each}": text for each, text in made.items()}
    elif name == "sshd":
        files = {places.sshd: files[places.sshd]}
    else:
        del files[places.sshd]
        path, lock = f"{top}/{foreground.CONF}", f"{top}/{foreground.LOCK}"
        door = rsyncd_conf.foreground(top, where.address, where.rsync, rules, lock)
        files = {path: door, **files}
    return "\n".join(f"#### {path}\n{text}" for path, text in files.items())
