"""haproxy.cfg: many servers of one store behind one address, passed on as they come (TCP mode).

HAProxy does not look into what it passes on: it has no key, and the ssh door is as safe through it.
A server behind it sees one caller, HAProxy, so who may read has to be said here.
"""

from __future__ import annotations

from allie.server.doors import rsyncd_conf
from allie.server.doors.units import Ports
from allie.server.places import Places
from allie.server.store_conf import NAME, StoreConf

_LONGEST = 3600  # seconds: rsync and sshd end what is silent themselves, and sooner
_SERVERS = ("192.0.2.11", "192.0.2.12")  # for documentation (RFC 5737)


def text(places: Places, rules: StoreConf, ports: Ports) -> str:
    """The configuration, to be completed by the servers' addresses."""
    admitted, others = rsyncd_conf.networks(rules)
    allow = [f"    acl admitted src {each}" for each in admitted]
    allow += [f"    # not taken over from {NAME}, it is no address: {each}" for each in others]
    allow += ["    tcp-request connection reject" + " unless admitted" * bool(admitted)]
    lines = [
        f"# Printed by `allie store serve --print haproxy` of {places.store}: for",
        "# /etc/haproxy/haproxy.cfg of the machine in front. Edit what is named below.",
        "#",
        "# On each server `hosts allow` in store.conf names HAProxy's address alone: rsync sees no",
        "# other. Who may read is said here. All have one store (`allie store mirror`), and for",
        "# the ssh door one host key and one list of keys: copy the etc of the store.",
        "global",
        f"    maxconn {4 * len(_SERVERS) * rules.connections}",
        "defaults",
        "    mode tcp",
        "    balance leastconn",
        "    timeout connect 5s",
        "    timeout queue 2m",
        f"    timeout client {_LONGEST}s",
        f"    timeout server {_LONGEST}s",
        "    option clitcpka",
        "    option srvtcpka",
        "    option redispatch",
        "    retries 3",
        "",
        "# What is for all: kit, overlays, images, releases",
        *_passing("store", ports.rsync, rules.connections, allow),
        "",
        "# What is each host's own. sshd asks for the key; no address has to be named.",
        *_passing("own", ports.ssh, rules.connections, []),
    ]
    return "\n".join(lines) + "\n"


def _passing(name: str, port: int, most: int, allow: list[str]) -> list[str]:
    """One door: who may come, and the servers, each with so many at a time; others wait."""
    check = "check inter 10s fall 2 rise 2"  # connects, and says nothing: no line in a log
    servers = [
        f"    server {name}{number} {address}:{port} maxconn {most} {check}  # <- yours"
        for number, address in enumerate(_SERVERS, 1)
    ]
    return [f"frontend {name}", f"    bind :::{port} v4v6", *allow, f"    default_backend {name}",
            f"backend {name}", *servers]  # fmt: skip
