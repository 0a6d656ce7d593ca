"""The steps of the tour. Each shows its commands, and looks whether what it says is so."""

from __future__ import annotations

from collections.abc import Callable

from allie.core.system import ARCHIVE
from demo.stage import COMMON, MOTD, PCS, Stage, client
from demo.terminal import claim, command, say

_WELCOME = "Welcome to the physics cluster.\n"
_NEWS = "Welcome to the physics cluster. Printer lj4 is back.\n"
_LAB = "ALL: 10.1.0.0/16\n"
_SRV1 = "ALL: ALL EXCEPT 10.1.0.0/16\n"
_DEFAULT = "ALL: 10.0.0.0/8\n"
_AS = {"failing": "failing", "missing": "missing", "drift": "changed by hand"}


def store(scene: Stage) -> None:
    """A store is made and served."""
    say("On the server. A store is a directory of plain files; one command makes it.")
    scene.sh("allie store init --store store")
    say("Another serves it, with rsync's own daemon.")
    scene.server.start()
    command(" ".join(scene.server.command(scene.server.port)) + " &")
    scene.sh(f"rsync {scene.server.url}")
    claim(scene.file(f"store/overlays/kit/{ARCHIVE}").is_file(), "the store holds the client")


def laptop_joins(scene: Stage) -> None:
    """The laptop joins early, and goes away."""
    say("A laptop is the first to join: one rsync brings the client, `join` does the rest.")
    _join(scene, "lap3")
    hourly = scene.file("lap3/etc/periodic/hourly/allie").read_text()
    starts = "/root/conf/run-conf" in hourly
    claim(starts, "from now on its crond starts a tick every hour", hourly)
    say("Then its owner switches it off and goes on holiday.")


def first_tick(scene: Stage) -> None:
    """Files put into the store arrive with the first tick."""
    say("Configuring is putting files where they belong, below overlays/common.")
    scene.sh(f"mkdir -p {COMMON}/etc/allie {COMMON}/usr/local/bin {COMMON}/root/conf")
    scene.sh(f"echo '{_WELCOME.strip()}' > {COMMON}/etc/motd")
    scene.sh(f"printf '#!/bin/sh\\nuptime\\n' > {COMMON}/usr/local/bin/load")
    scene.sh(f"chmod +x {COMMON}/usr/local/bin/load")
    say("A lab PC and a server join; that is their first tick.")
    for pc in ("pc07", "srv1"):
        _join(scene, pc)
        scene.holds(f"{pc}/etc/motd", _WELCOME, f"{pc} has the new /etc/motd")
        mode = scene.file(f"{pc}/usr/local/bin/load").stat().st_mode & 0o777
        claim(mode == 0o755, f"{pc} has /usr/local/bin/load, and it is executable")
    scene.holds("lap3/etc/motd", MOTD, "the laptop is off: it has its old /etc/motd")


def faces(scene: Stage) -> None:
    """One file that differs from PC to PC."""
    say("One file can have variants: the tag after ## says where each belongs. Classes of hosts\n"
        "are a file like any other.")  # fmt: skip
    scene.sh(f"cat > {COMMON}/etc/allie/classes <<'END'\nlab: pc[07-08]\nmobile: lap*\nEND")
    hosts = f"{COMMON}/etc/hosts.allow"
    scene.sh(f"echo '{_DEFAULT.strip()}' > {hosts}")
    scene.sh(f"echo '{_LAB.strip()}' > '{hosts}##class.lab'")
    scene.sh(f"echo '{_SRV1.strip()}' > '{hosts}##host.srv1'")
    scene.sh("allie overlay lint common --store store && echo no complaints")
    scene.tick("pc07", "srv1")
    scene.holds("pc07/etc/hosts.allow", _LAB, "pc07, in class lab, has the lab's hosts.allow")
    scene.holds("srv1/etc/hosts.allow", _SRV1, "srv1 has its own")
    for pc in ("pc07", "srv1"):
        tagged = sorted(path.name for path in scene.file(f"{pc}/etc").glob("*##*"))
        claim(not tagged, f"no name with ## is to be seen in {pc}'s /etc", tagged)


def conf_script(scene: Stage) -> None:
    """A script waits, is satisfied, and is not run again."""
    say("What is not a file is a script: this one prepares a scratch disk once there is one.\n"
        "Exit status 75 means: not yet, ask again at the next tick.")  # fmt: skip
    path = f"{COMMON}/root/conf/50scratch"
    scene.sh(
        f"cat > {path} <<'END'\n#!/bin/sh\n"
        '[ -d /scratch ] || { echo "no scratch disk yet"; exit 75; }\n'
        "mkdir -p -m 1777 /scratch/tmp\n"
        'echo "prepared in tick $ALLIE_TICK" | tee -a /scratch/log\nEND'
    )
    scene.sh(f"chmod +x {path}")
    scene.tick("pc07")
    scene.allie("pc07", "status")
    claim(scene.script("pc07", "50scratch") == "waiting", "the script is waiting on pc07")
    say("Somebody puts the disk in; the next tick finds it.")
    scene.sh("mkdir pc07/scratch")
    scene.tick("pc07")
    claim(scene.script("pc07", "50scratch") == "satisfied", "now the script is satisfied")
    mode = scene.file("pc07/scratch/tmp").stat().st_mode & 0o7777
    claim(mode == 0o1777, "/scratch/tmp was made, inside pc07")
    scene.tick("pc07")
    runs = scene.text("pc07/scratch/log").splitlines()
    claim(len(runs) == 1, "a further tick did not run it again: its log has one line", runs)


def one_change(scene: Stage) -> None:
    """A file changed on the server reaches the PCs."""
    say("A file is changed in the store.")
    scene.sh(f"echo '{_NEWS.strip()}' > {COMMON}/etc/motd")
    say("Here are the ticks that cron would have started within the hour.")
    scene.tick("pc07", "srv1")
    for pc in ("pc07", "srv1"):
        scene.holds(f"{pc}/etc/motd", _NEWS, f"{pc} has it")


def local_edit(scene: Stage) -> None:
    """An edit on a PC is put right, and kept."""
    say("Somebody edits a file on a PC. `plan` shows what the next tick would do about it.")
    scene.sh("echo 'ALL: ALL' > pc07/etc/hosts.allow")
    scene.allie("pc07", "plan")
    scene.tick("pc07")
    scene.holds("pc07/etc/hosts.allow", _LAB, "/etc/hosts.allow is right again")
    say("The edit is not lost; `allie undo` would bring it back.")
    scene.sh("find pc07/var/lib/allie/undo -name hosts.allow | sort | tail -n 1 | xargs grep -H .")
    kept = [each.read_text() for each in scene.file("pc07/var/lib/allie/undo").rglob("hosts.allow")]
    claim("ALL: ALL\n" in kept, "the edited file is kept among what can be undone", kept)


def laptop_back(scene: Stage) -> None:
    """The laptop catches up with everything in one tick."""
    say("The laptop is switched on, and its boot starts a tick.")
    scene.tick("lap3")
    scene.holds("lap3/etc/motd", _NEWS, "lap3 has the newest /etc/motd")
    scene.holds("lap3/etc/hosts.allow", _DEFAULT, "and the hosts.allow that fits no other PC")
    state = scene.script("lap3", "50scratch")
    claim(state == "waiting", "the script came along, ran, and waits for a disk", state)


def withdrawal(scene: Stage) -> None:
    """What is taken out of the store goes; what stood there before comes back."""
    say("Two files are taken out of the store. One of them had replaced the distributor's own.")
    scene.sh(f"rm {COMMON}/etc/motd {COMMON}/usr/local/bin/load")
    scene.tick(*PCS)
    for pc in PCS:
        scene.holds(f"{pc}/etc/motd", MOTD, f"{pc} has the distributor's /etc/motd back")
        gone = not scene.file(f"{pc}/usr/local/bin/load").exists()
        claim(gone, f"and {pc} no longer has /usr/local/bin/load")


def server_away(scene: Stage) -> None:
    """PCs look after themselves without the server, and hear of news when it is back."""
    say("The server goes away.")
    command(f"kill -9 {scene.server.pid}")
    scene.server.stop()
    say("Meanwhile the administrator works on in the store, and a file is lost on a PC.")
    scene.sh(f"echo 'ALL: 10.1.7.0/24' > '{COMMON}/etc/hosts.allow##class.lab'")
    scene.sh("rm pc07/etc/hosts.allow")
    scene.tick("pc07")
    scene.holds("pc07/etc/hosts.allow", _LAB, "the file is back: a PC has its own copy of all")
    text = scene.allie("pc07", "status | grep store")
    claim("trouble" in text, "and status tells of the trouble", text)
    say("The server comes back.")
    scene.server.start()
    command(" ".join(scene.server.command(scene.server.port)) + " &")
    scene.tick("pc07")
    news = "ALL: 10.1.7.0/24\n"
    scene.holds("pc07/etc/hosts.allow", news, "pc07 has the file that was changed meanwhile")
    trouble = scene.status("pc07")["contact"]["trouble"]
    claim(not trouble, "the trouble is over", trouble)


def why(scene: Stage) -> None:
    """Why a file is as it is."""
    say("Why is this file as it is? The PC knows.")
    text = scene.allie("pc07", "why /etc/hosts.allow")
    claim("common/etc/hosts.allow##class.lab" in text, "the lab's variant won", text)
    say("So does the server, also for a PC that there is not yet.")
    text = scene.sh("allie overlay why /etc/hosts.allow --store store --host pc08")
    claim("common/etc/hosts.allow##class.lab" in text, "pc08 would get the same", text)


def status(scene: Stage) -> None:
    """How one PC stands, and what happened there."""
    text = scene.allie("pc07", "status")
    claim("failing" not in text and "trouble" not in text, "nothing ails pc07", text)
    say("And what happened there?")
    scene.allie("pc07", "log")


def reports(scene: Stage) -> None:
    """Each PC reports to the store."""
    say("Who wants to know how all of them stand asks the server. Each PC has an inbox there,\n"
        "and reports to it: by ssh, since nobody can write by rsync. These three are on the\n"
        "server themselves, so they may as well follow the directory.")  # fmt: skip
    scene.sh(f"mkdir {' '.join(f'store/inbox/{pc}' for pc in PCS)}")
    for pc in PCS:
        scene.allie(pc, "join $PWD/store --no-timer | head -n 1")
        scene.tick(pc)
        there = scene.file(f"store/inbox/{pc}/report").is_file()
        claim(there, f"the report of {pc} has arrived")


def fleet(scene: Stage) -> None:
    """All of them at a glance: one fails, one was never there, one was edited by hand."""
    say("Then the administrator has a bad day. A new script for all finds no printer on srv1,\n"
        "whose own file has a slip; and somebody edits one of the laptop's.")  # fmt: skip
    scene.sh(f"echo 'lj4:rm=print' > {COMMON}/etc/printcap")
    scene.sh(f"echo 'lj3:rm=print' > '{COMMON}/etc/printcap##host.srv1'")
    path = f"{COMMON}/root/conf/60printer"
    scene.sh(
        f"cat > {path} <<'END'\n#!/bin/sh\n"
        'grep ^lj4: /etc/printcap || { echo "no lj4 in /etc/printcap"; exit 1; }\nEND'
    )
    scene.sh(f"chmod +x {path}")
    scene.sh("echo 'ALL: ALL' > lap3/etc/hosts.allow")
    scene.tick("pc07", "lap3")
    scene.allie("srv1", "run-conf", status=1)
    say("One look at all PCs that should be there, and what to do next. It exits 1, as something\n"
        "needs somebody.")  # fmt: skip
    scene.sh("allie fleet --store store", status=1)
    for group, hosts in (("failing", "srv1"), ("missing", "pc08"), ("drift", "lap3")):
        found = scene.sh(f"allie fleet --group {group} --store store").split()
        claim(found == [hosts], f"{hosts}, and no other, is {_AS[group]}", found)
    say("The slip is put right, in the store. What is left is pc08, of which the classes tell,\n"
        "and which nobody has installed yet.")  # fmt: skip
    scene.sh(f"rm '{COMMON}/etc/printcap##host.srv1'")
    scene.tick(*PCS)
    scene.sh("allie fleet --store store", status=1)
    found = scene.sh("allie fleet --group attention --store store").split()
    claim(found == ["pc08"], "all that are there are well", found)


def _join(scene: Stage, pc: str) -> None:
    url = scene.server.url
    scene.sh(f"rsync {url}/overlays/kit/{ARCHIVE} {pc}/usr/local/bin/")
    scene.sh(f"{client(pc)} join {url}")


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("A store, served", store),
    ("A laptop joins, and is switched off", laptop_joins),
    ("The first tick", first_tick),
    ("One file that differs from PC to PC", faces),
    ("A script that waits, and is satisfied", conf_script),
    ("One file changed on the server", one_change),
    ("A local edit is put right", local_edit),
    ("The laptop is switched on, and catches up", laptop_back),
    ("A file is withdrawn", withdrawal),
    ("The server goes away, and comes back", server_away),
    ("Why is it so?", why),
    ("How does it stand?", status),
    ("Each PC reports", reports),
    ("And how do they all stand?", fleet),
)
