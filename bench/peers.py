"""The peers: what each needs before its first run, and the command that is measured.

Each is one row of `all_peers`, and its commands are pure functions of a Site. Peers without tags
are given the resolved tree in a local directory, and no conf scripts to run: that favours them, as
they neither choose variants nor touch the network.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from bench import root
from bench.overlay import HOST
from bench.peer import PATH, Argv, Peer, Site

PYTHON, RSYNC, SEED = "python3 -c pass", "rsync -a", "seed in shell"
CF_MTIME = "cf-agent by mtime"
ALLIE, SIBLING, EVERY_TICK = "ALLiE", "ALLiE, two systems", "ALLiE, a script every tick"
OWN = "ALLiE, own door"
OWN_KEY = "own_key"  # beside the store: by which the door knows it
_SEED = Path(__file__).with_name("seed.sh")
_CLIENT = "usr/local/bin/allie"
_SECOND = "srv/second"

# rsync, the seed, ALLiE


def _python(_: Site) -> list[str]:
    return ["/usr/bin/python3", "-I", "-S", "-B", "-c", "pass"]


def _rsync(site: Site) -> list[str]:
    url = f"rsync://127.0.0.1:{site.plain_port}/overlays/common/"
    return ["rsync", "-a", url, f"{site.root}/"]


def _seed_prepare(site: Site) -> None:
    shutil.copy2(_SEED, site.root / "tmp/seed.sh")


def _seed(site: Site) -> list[str]:
    url = f"rsync://127.0.0.1:{site.plain_port}/overlays/common"
    return ["chroot", str(site.root), "/tmp/seed.sh", url, HOST]


def _allie_prepare(site: Site) -> None:
    shutil.copy2(site.store / "overlays/kit" / _CLIENT, site.root / _CLIENT)


def _join(site: Site, *more: str) -> list[str]:
    """The arguments that make a PC of a fresh root."""
    url = f"rsync://127.0.0.1:{site.allie_port}"
    return ["join", url, "--overlays", "kit,common", "--host", HOST, "--no-timer", *more]


def _allie_first(site: Site) -> list[str]:
    return ["chroot", str(site.root), f"/{_CLIENT}", *_join(site)]


def _allie(site: Site) -> list[str]:
    return ["chroot", str(site.root), "/root/conf/run-conf"]


def _every_tick_prepare(site: Site) -> None:
    _allie_prepare(site)
    script = site.root / "root/conf/90always"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n# allie: every tick\n:\n")
    script.chmod(0o755)


def _own_prepare(site: Site) -> None:
    _allie_prepare(site)
    place = site.root / "etc/ssh"
    place.mkdir()
    shutil.copy2(site.store.parent / OWN_KEY, place / "ssh_host_ed25519_key")


def _own_first(site: Site) -> list[str]:
    door = f"ssh://127.0.0.1:{site.door_port}"
    return ["chroot", str(site.root), f"/{_CLIENT}", *_join(site, "--own", door)]


def _sibling_prepare(site: Site) -> None:
    """A second system in a directory of the PC."""
    _allie_prepare(site)
    root.make(site.root / _SECOND, True)


def _sibling_first(site: Site) -> list[str]:
    """Both join, and the base is told of the other."""
    lines = [
        f"/{_CLIENT} {shlex.join(_join(site))}",
        f"/{_CLIENT} --root /{_SECOND} {shlex.join(_join(site, '--system', 'second'))}",
        f"cat >>/etc/allie/allie.conf <<'END'\n[system second]\nroot = /{_SECOND}",
        "overlays = kit, common\nEND\n/root/conf/run-conf",
    ]
    return ["chroot", str(site.root), "/bin/sh", "-ec", "\n".join(lines)]


# cf-agent

_CF = """\
body common control {{ bundlesequence => {{ "overlay" }}; }}
bundle agent overlay {{
  files: "{root}/." copy_from => tree("{source}/."), depth_search => all;
}}
body copy_from tree(from) {{
  source => "$(from)"; compare => "{compare}"; preserve => "true"; copy_backup => "false";
}}
body depth_search all {{ depth => "inf"; }}
"""


def _cf_settings(site: Site) -> dict[str, str]:
    return {"CFENGINE_TEST_OVERRIDE_WORKDIR": str(site.state)}


def _cf_prepare(compare: str) -> Callable[[Site], None]:
    def prepare(site: Site) -> None:
        (site.state / "bin").symlink_to("/usr/bin")
        for name in ("inputs", "ppkeys"):
            (site.state / name).mkdir(mode=0o700)
        policy = site.state / "overlay.cf"
        policy.write_text(_CF.format(root=site.root, source=site.source, compare=compare))
        policy.chmod(0o600)
        env = {"PATH": PATH, **_cf_settings(site)}
        subprocess.run(["cf-key"], check=True, env=env, stdout=subprocess.DEVNULL)

    return prepare


def _cf(site: Site) -> list[str]:
    return ["cf-agent", "--no-lock", "--file", f"{site.state}/overlay.cf"]


# puppet

_PP = """\
file {{ '{root}': ensure => directory, recurse => remote, source_permissions => use,
  source => 'file://{source}' }}
"""


def _puppet_prepare(site: Site) -> None:
    (site.state / "var/state").mkdir(parents=True)  # its first run does not make it in time
    manifest = _PP.format(root=site.root, source=site.source)
    (site.state / "overlay.pp").write_text(manifest)


def _puppet(site: Site) -> list[str]:
    names = {"confdir": "conf", "vardir": "var", "rundir": "run", "logdir": "logs"}
    where = [f"--{option}={site.state}/{name}" for option, name in names.items()]
    return ["puppet", "apply", *where, f"{site.state}/overlay.pp"]


# ansible

_PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.posix.synchronize: {{src: "{source}/", dest: "{root}/", archive: true}}
"""


def _play_settings(site: Site) -> dict[str, str]:
    own = f"{site.state}/ansible"
    directories = {"ANSIBLE_LOCAL_TEMP": f"{own}/tmp", "ANSIBLE_REMOTE_TEMP": f"{own}/tmp"}
    return {"ANSIBLE_HOME": own, "ANSIBLE_NOCOLOR": "1", **directories}


def _play_prepare(site: Site) -> None:
    (site.state / "play.yml").write_text(_PLAY.format(source=site.source, root=site.root))


def _play(site: Site) -> list[str]:
    return ["ansible-playbook", "-i", "localhost,", "-c", "local", f"{site.state}/play.yml"]


def all_peers(allie: Path) -> list[Peer]:
    """Every peer, in the order of the tables; allie is the program that knows the store's verbs."""
    rsync = ("rsync", "--version")
    return [
        Peer(PYTHON, _python, "/usr/bin/python3", ("/usr/bin/python3", "-V"), result="nothing"),
        Peer(RSYNC, _rsync, "rsync", rsync, package="rsync", result="raw"),
        _ours(ALLIE, allie, _allie_first, _allie_prepare),
        _ours(EVERY_TICK, allie, _allie_first, _every_tick_prepare),
        _ours(OWN, allie, _own_first, _own_prepare),
        _ours(SIBLING, allie, _sibling_first, _sibling_prepare, (_SECOND,)),
        Peer(SEED, _seed, "rsync", rsync, prepare=_seed_prepare, package="rsync", living=True),
        *_copying(),
    ]


def named(words: Sequence[str], peers: Sequence[Peer]) -> list[Peer]:
    """Those that have one of these names; a word that nobody has for a name is part of some."""
    names = {peer.name.lower() for peer in peers}

    def fits(peer: Peer, word: str) -> bool:
        name = peer.name.lower()
        return word == name or (word not in names and word in name)

    return [peer for peer in peers if any(fits(peer, word.lower()) for word in words)]


def _ours(
    name: str,
    allie: Path,
    first: Argv,
    prepare: Callable[[Site], None],
    siblings: tuple[str, ...] = (),
) -> Peer:
    return Peer(
        name,
        _allie,
        str(allie),
        (str(allie), "--version"),
        first,
        prepare,
        living=True,
        ours=True,
        siblings=siblings,
    )


def _copying() -> list[Peer]:
    return [
        _cf_agent("mtime"),
        _cf_agent("digest"),
        Peer(
            "puppet apply",
            _puppet,
            "puppet",
            ("puppet", "--version"),
            prepare=_puppet_prepare,
            package="puppet-agent",
        ),
        Peer(
            "ansible synchronize",
            _play,
            "ansible-playbook",
            ("ansible", "--version"),
            prepare=_play_prepare,
            settings=_play_settings,
            package="ansible",
        ),
    ]


def _cf_agent(compare: str) -> Peer:
    return Peer(
        f"cf-agent by {compare}",
        _cf,
        "cf-agent",
        ("cf-agent", "--version"),
        prepare=_cf_prepare(compare),
        settings=_cf_settings,
        package="cfengine3",
    )
