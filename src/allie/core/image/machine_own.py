"""What in a system is one machine's own, and what an image has in its place. Pure data.

Read by `server.images.blandify`, which carries it out, and by `image blandify --check`, which looks
for what still stands.
"""

from __future__ import annotations

import re

from allie.core.image import rewrites
from allie.core.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from allie.core.image.rewrites import Rewrite

REMOVE = "remove"  # the file, or the directory with all that is in it
FILE = "remove the file"  # the same, of regular files alone: a symlink may stay
CLEAR = "clear"  # all files below a directory; directories stay, with their owners
EMPTY = "empty"  # one path: a file with nothing in it, also where there was none, or a link
LOGS = "empty logs"  # each file below; rotated ones go
REWRITE = "rewrite"

_ROTATED = re.compile(r".*(\.(gz|xz|bz2|zst|old)|[.-]\d+|-\d{8}(-\d+)?|\.\d+\.log)")


class Rule(Value):
    """Globs (shell's, no slash in a *), what to do where they match, and why."""

    globs: str
    action: str
    why: str
    rewrite: Rewrite | None = None


def is_rotated(name: str) -> bool:
    """Whether a log's name says that it is an older one."""
    return bool(_ROTATED.fullmatch(name))


def _each_home(names: str) -> str:
    return " ".join(f"root/{name} home/*/{name}" for name in names.split())


_IDENTITY = (
    Rule("etc/machine-id", EMPTY, "systemd makes one at the first start where it is empty"),
    Rule("var/lib/dbus/machine-id", FILE, "another copy of the machine's id"),
    Rule(
        "etc/ssh/ssh_host_*key etc/ssh/ssh_host_*key.pub etc/ssh/ssh_host_*-cert.pub"
        " etc/dropbear/dropbear_*_host_key",
        REMOVE,
        "host keys: whoever has them can pose as the machine",
    ),
    Rule(
        "var/lib/systemd/random-seed var/lib/urandom/random-seed var/lib/random-seed"
        " var/lib/misc/random-seed boot/loader/random-seed boot/efi/loader/random-seed"
        " efi/loader/random-seed var/lib/seedrng",
        REMOVE,
        "two machines must not begin with one random seed",
    ),
    Rule(
        "var/lib/systemd/credential.secret etc/krb5.keytab var/lib/samba/private/*.tdb"
        " etc/ssl/private/ssl-cert-snakeoil.key etc/ssl/certs/ssl-cert-snakeoil.pem"
        " etc/pki/tls/private/localhost.key etc/pki/tls/certs/localhost.crt"
        " etc/salt/pki/minion/minion.pem etc/salt/pki/minion/minion.pub",
        REMOVE,
        "the machine's own keys",
    ),
    Rule(
        _each_home(".ssh/id_dsa .ssh/id_rsa .ssh/id_ecdsa .ssh/id_ed25519"),
        REMOVE,
        "private keys open doors for their owner alone",
    ),
    Rule("etc/iscsi/initiatorname.iscsi", REWRITE, "storage knows machines by it", rewrites.iscsi),
    Rule("etc/nvme/hostid etc/nvme/hostnqn", REMOVE, "storage knows machines by it"),
    Rule(
        "etc/popularity-contest.conf",
        REWRITE,
        "Debian counts machines by it",
        rewrites.without(r"MY_HOSTID="),
    ),
)
_NAMES = (
    Rule("etc/hosts", REWRITE, "names the machine", rewrites.hosts),
    Rule("etc/sysconfig/network", REWRITE, "names the machine", rewrites.without(r"HOSTNAME\s*=")),
    Rule("etc/conf.d/hostname", REWRITE, "names the machine", rewrites.without(r"hostname\s*=")),
    Rule(
        "etc/postfix/main.cf",
        REWRITE,
        "names the machine",
        rewrites.without(r"myhostname\s*=", indented=True),
    ),
    Rule("etc/hostname etc/HOSTNAME etc/mailname etc/machine-info", REMOVE, "names the machine"),
)
_DISKS = (
    Rule("etc/fstab", REWRITE, "file systems by UUID exist on one machine alone", rewrites.fstab),
    Rule("etc/crypttab", REWRITE, "disks by UUID exist on one machine alone", rewrites.crypttab),
    Rule(
        "etc/default/grub etc/default/grub.d/*.cfg etc/kernel/cmdline boot/loader/entries/*.conf"
        " etc/initramfs-tools/conf.d/* etc/sysconfig/grub",
        REWRITE,
        "disks by UUID exist on one machine alone",
        rewrites.kernel_words,
    ),
    Rule(
        "boot/grub/grub.cfg boot/grub/grubenv boot/grub/device.map boot/grub2/grub.cfg"
        " boot/grub2/grubenv boot/grub2/device.map",
        REMOVE,
        "made for that machine's disks; update-grub makes it anew",
    ),
    Rule(
        "etc/mdadm/mdadm.conf etc/mdadm.conf",
        REWRITE,
        "arrays by UUID",
        rewrites.without("ARRAY", indented=True),
    ),
    Rule(
        "etc/lvm/archive etc/lvm/backup etc/lvm/cache etc/lvm/devices run/lvm etc/blkid",
        CLEAR,
        "caches of that machine's disks",
    ),
    Rule(
        "etc/multipath/bindings etc/multipath/wwids etc/multipath/prkeys etc/blkid.tab*"
        " etc/zfs/zpool.cache dev/.udev",
        REMOVE,
        "caches of that machine's disks",
    ),
)
_CARDS = (
    Rule(
        "etc/udev/rules.d/70-persistent-net.rules etc/udev/rules.d/70-persistent-cd.rules"
        " etc/iftab etc/mactab",
        REMOVE,
        "names for that machine's cards",
    ),
    Rule(
        "etc/systemd/network/*.link etc/systemd/network/*.link.d/*.conf",
        REWRITE,
        "names for that machine's cards",
        rewrites.gone_if(r"(Permanent)?MACAddress\s*="),
    ),
    Rule(
        "etc/systemd/network/*.network etc/systemd/network/*.network.d/*.conf"
        " etc/systemd/networkd.conf etc/systemd/networkd.conf.d/*.conf",
        REWRITE,
        "for one card alone",
        rewrites.networkd,
    ),
    Rule(
        "etc/systemd/network/*.netdev etc/systemd/network/*.netdev.d/*.conf",
        REWRITE,
        "two machines must not have one address",
        rewrites.netdev,
    ),
    Rule("etc/netplan/*.yaml", REWRITE, "for one card alone", rewrites.netplan),
    Rule(
        "etc/NetworkManager/system-connections/*",
        REWRITE,
        "for one card alone, with an identity",
        rewrites.connection,
    ),
    Rule(
        "etc/sysconfig/network-scripts/ifcfg-* etc/sysconfig/network/ifcfg-*",
        REWRITE,
        "for one card alone, with an identity",
        rewrites.ifcfg,
    ),
    Rule(
        "etc/network/interfaces etc/network/interfaces.d/*",
        REWRITE,
        "for one card alone",
        rewrites.without(rewrites.ADDRESSED),
    ),
    Rule(
        "var/lib/dhcp var/lib/dhclient var/lib/dhcpcd var/lib/NetworkManager var/lib/connman"
        " var/lib/systemd/network",
        CLEAR,
        "leases, and ids that a DHCP server knows the machine by",
    ),
    Rule("etc/dhcpcd.duid etc/dhcpcd.secret var/lib/wicked/*.xml", REMOVE, "ids for DHCP"),
    Rule(
        "etc/resolv.conf",
        REWRITE,
        "made by a program, for the network of that machine",
        rewrites.gone_if(r"[#;].*\b[Gg]enerated by\b"),
    ),
    Rule("var/lib/bluetooth var/lib/systemd/rfkill var/lib/systemd/backlight", CLEAR, "its radios"),
    Rule("var/lib/alsa/asound.state", REMOVE, "the state of its sound card"),
    Rule("etc/adjtime", REWRITE, "the drift of its clock", rewrites.adjtime),
    Rule("var/lib/ntp/ntp.drift var/lib/chrony/drift", REMOVE, "the drift of its clock"),
)
_HISTORY = (
    Rule("var/log/journal/*", REMOVE, "what happened there, under the machine's id"),
    Rule(
        "var/log/installer var/log/anaconda root/anaconda-ks.cfg root/original-ks.cfg"
        " root/initial-setup-ks.cfg root/install.log root/install.log.syslog root/ks-*.log",
        REMOVE,
        "the installer's",
    ),
    Rule("var/lib/cloud", CLEAR, "the state of cloud-init: it begins anew"),
    Rule("var/log", LOGS, "what happened there"),
    Rule(
        "var/mail var/spool/mail var/spool/exim4/input var/spool/exim4/msglog var/spool/mqueue"
        " var/spool/clientmqueue var/spool/postfix/incoming var/spool/postfix/active"
        " var/spool/postfix/deferred var/spool/postfix/maildrop var/spool/postfix/hold"
        " var/spool/postfix/bounce var/spool/postfix/defer var/spool/postfix/corrupt",
        CLEAR,
        "its mail",
    ),
    Rule("var/spool/cups", CLEAR, "its print jobs"),
    Rule("var/crash var/lib/systemd/coredump var/spool/abrt", CLEAR, "dumps of what crashed there"),
    Rule(
        "var/lib/systemd/timers var/spool/anacron var/lib/logrotate",
        CLEAR,
        "when its jobs last ran",
    ),
    Rule(
        _each_home(
            ".bash_history .zsh_history .ash_history .sh_history .histfile .python_history .lesshst"
            " .viminfo .mysql_history .psql_history .sqlite_history .wget-hsts .ssh/known_hosts"
            " .xsession-errors"
        ),
        REMOVE,
        "what somebody typed there",
    ),
)
_OURS = (
    Rule(
        "var/lib/allie root/done",
        CLEAR,
        "ALLiE's state belongs to one root: the first tick makes it",
    ),
    Rule("var/lib/allie-code", CLEAR, "made again by the client"),
    Rule(
        "etc/systemd/system/allie-fence-* etc/systemd/system/*.wants/allie-fence-*"
        " etc/init.d/allie-fence-* etc/runlevels/*/allie-fence-*",
        REMOVE,
        "for the other systems of that machine",
    ),
    Rule("etc/allie/system", REMOVE, "the name of the system that it was"),
    Rule("etc/allie/allie.conf", REWRITE, "names the machine", rewrites.allie_conf),
)

RULES: tuple[Rule, ...] = (*_IDENTITY, *_NAMES, *_DISKS, *_CARDS, *_HISTORY, *_OURS)
