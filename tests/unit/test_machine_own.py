"""The table of what is one machine's own, and its rewriting of files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.image import machine_own, not_captured, offering, rewrites
from allie.core.image.rewrites import Own

OWN = Own("el9", "gold.example.org")
NEW = "a111e000-fcd0-8af9-8c44-0f1e9c79c8c0"  # made of UUID
MAC = "52:54:00:12:34:56"
UUID = "0a1b2c3d-1111-2222-3333-444455556666"


def _rewrite_of(path: str) -> rewrites.Rewrite:
    found = [each.rewrite for each in machine_own.RULES if path in each.globs.split()]
    assert found[0]
    return found[0]


FSTAB = f"""\
# / was on /dev/sda2 during installation
UUID={UUID} /               ext4    errors=remount-ro 0       1
/dev/sda1 /boot/efi       vfat    umask=0077      0       1
PARTUUID=12-02 /boot ext4 defaults 0 2
/dev/mapper/vg-home\t/home\txfs\tdefaults\t0 0
/dev/disk/by-id/ata-X-part5 none swap sw 0 0
/dev/disk/by-path/x /srv/data ext4 defaults 0 2
/dev/vg/more /mnt/data ext4 nofail 0 2
LABEL=share /share ext4 defaults 0 2
tmpfs /tmp tmpfs defaults 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
server:/export /net nfs defaults 0 0
"""
FSTAB_AFTER = """\
# / was on /dev/sda2 during installation
LABEL=el9 /               ext4    errors=remount-ro 0       1
LABEL=EFI /boot/efi       vfat    umask=0077      0       1
LABEL=boot /boot ext4 defaults 0 2
LABEL=home\t/home\txfs\tdefaults\t0 0
LABEL=swap none swap sw 0 0
LABEL=data /srv/data ext4 defaults 0 2
LABEL=data7 /mnt/data ext4 nofail 0 2
LABEL=share /share ext4 defaults 0 2
tmpfs /tmp tmpfs defaults 0 0
/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0
server:/export /net nfs defaults 0 0
"""
NETPLAN = """\
network:
  version: 2
  ethernets:
    enp3s0:
      match:
        macaddress: "52:54:00:12:34:56"
      set-name: enp3s0
      dhcp4: true
    other:
      match: {macaddress: 52:54:00:12:34:57}
      macaddress: 02:00:00:00:00:01
      dhcp4: true
"""
NETPLAN_AFTER = """\
network:
  version: 2
  ethernets:
    enp3s0:
      match:
        name: "e*"
      dhcp4: true
    other:
      match: {name: "e*"}
      dhcp4: true
"""
CONNECTION = f"""\
[connection]
id=Wired
uuid={UUID}
type=ethernet
interface-name=enp3s0
timestamp=1700000000

[ethernet]
mac-address=52:54:00:12:34:56
cloned-mac-address=52:54:00:12:34:56
mtu=9000

[ipv4]
method=auto
"""
BTRFS = f"UUID={UUID} /home btrfs subvol=home 0 0\nUUID={UUID} / btrfs subvol=root 0 0\n"


@pytest.mark.parametrize(
    ("rewrite", "before", "after"),
    [
        (rewrites.fstab, FSTAB, FSTAB_AFTER),
        (rewrites.fstab, BTRFS, BTRFS.replace(f"UUID={UUID}", "LABEL=el9")),
        (
            rewrites.crypttab,
            f"# a comment\nluks-home UUID={UUID} none luks\nswap /dev/sda5 /dev/urandom swap\n",
            "# a comment\nluks-home LABEL=luks-home none luks\nswap LABEL=swap /dev/urandom swap\n",
        ),
        (
            rewrites.kernel_words,
            f'GRUB_CMDLINE_LINUX="rd.lvm.lv=vg/root root=UUID={UUID} resume=/dev/sda5 quiet"\n',
            'GRUB_CMDLINE_LINUX=" root=LABEL=el9 resume=LABEL=swap quiet"\n',
        ),
        (rewrites.kernel_words, f"RESUME=UUID={UUID}\n", "RESUME=LABEL=swap\n"),
        (rewrites.kernel_words, "GRUB_TIMEOUT=5\nroot=LABEL=x\n", "GRUB_TIMEOUT=5\nroot=LABEL=x\n"),
        *(
            (rewrites.kernel_words, before, after)
            for before, after in (
                (f'options root="UUID={UUID}" rw', "options root=LABEL=el9 rw"),
                (f'X="root=\\"UUID={UUID}\\" ro"', 'X="root=LABEL=el9 ro"'),
                ("real_root=/dev/sda2 quiet", "real_root=LABEL=el9 quiet"),
                (
                    f"cryptdevice=UUID={UUID}:cr-a:discard x",
                    "cryptdevice=LABEL=cr-a:cr-a:discard x",
                ),
                (f"ro rd.luks.name={UUID}=root quiet", "ro quiet"),
                (f"ro luks.uuid=luks-{UUID} quiet", "ro quiet"),
                (f"ro systemd.machine_id={UUID.replace('-', '')}", "ro"),
                (f"net.ifnames=0 ifname=eno1:{MAC} BOOTIF=01-{MAC}", "net.ifnames=0"),
                ("root=/dev/nfs nfsroot=10.0.0.1:/r", "root=/dev/nfs nfsroot=10.0.0.1:/r"),
            )
        ),
        (
            rewrites.networkd,
            "[Match]\nName=en*\n[DHCPv4]\nHostname=gold\nDUIDRawData=00:01\nIAID=7\nUseDNS=no\n",
            "[Match]\nName=en*\n[DHCPv4]\nUseDNS=no\n",
        ),
        (  # a value may stand below its key
            rewrites.netplan,
            f"ethernets:\n  a:\n    match:\n      macaddress:\n\n        {MAC}\n    set-name:\n"
            "      lan0\n    dhcp4: true\n",
            'ethernets:\n  a:\n    match:\n      name: "e*"\n\n    dhcp4: true\n',
        ),
        (rewrites.netplan, NETPLAN, NETPLAN_AFTER),
        (rewrites.netplan, "network:\n  version: 2\n", "network:\n  version: 2\n"),
        (
            rewrites.connection,
            CONNECTION,
            f"[connection]\nid=Wired\nuuid={NEW}\ntype=ethernet\n\n[ethernet]\nmtu=9000\n\n[ipv4]\nmethod=auto\n",
        ),
        (
            rewrites.connection,
            f"[connection]\nuuid={UUID}\ntype=bridge\ninterface-name=br0\n",
            f"[connection]\nuuid={NEW}\ntype=bridge\ninterface-name=br0\n",
        ),
        (
            rewrites.hosts,
            "127.0.0.1 localhost gold\n127.0.1.1 gold.example.org gold\n10.0.0.1 server\n"
            "# gold stays in a comment\n10.0.0.7 gold.example.org\n",
            "127.0.0.1\tlocalhost\n10.0.0.1 server\n# gold stays in a comment\n",
        ),
        (
            rewrites.networkd,
            "[Match]\nMACAddress=52:54:00:12:34:56\n[Network]\nDHCP=yes\n",
            "[Match]\nType=ether\n[Network]\nDHCP=yes\n",
        ),
        (  # another machine of the same short name, and another name of the golden one's address
            rewrites.hosts,
            "127.0.1.1 Gold.example.org gold\n10.0.0.1 gold.other.org\n10.0.0.2 gold2 GOLD web\n",
            "10.0.0.1 gold.other.org\n10.0.0.2\tgold2 web\n",
        ),
        (rewrites.hosts, "127.0.1.1 oldname\n127.0.0.1 localhost\n", "127.0.0.1 localhost\n"),
        (
            rewrites.networkd,
            f"[Match]\nType=wlan\nMACAddress={MAC}\n[Link]\nMACAddress={MAC}\nMTUBytes=9000\n"
            f"[DHCPServerStaticLease]\nMACAddress={MAC}\n",
            "[Match]\nType=wlan\n[Link]\nMTUBytes=9000\n"
            f"[DHCPServerStaticLease]\nMACAddress={MAC}\n",
        ),
        (
            rewrites.netdev,
            f"[NetDev]\nName=v\nKind=veth\nMACAddress = {MAC}\n[Peer]\nName=w\nMACAddress={MAC}\n",
            "[NetDev]\nName=v\nKind=veth\n[Peer]\nName=w\n",
        ),
        (
            rewrites.without(rewrites.ADDRESSED),
            f"iface br0 inet dhcp\n  bridge_hw {MAC}\n  bridge-hw {MAC}\n  hwaddress ether {MAC}\n"
            f"  pre-up ip link set dev br0 address {MAC}\n  up ifconfig br0 hw ether {MAC}\n"
            "  bridge_hw eno1\n  address 10.0.0.1\n  up ip route add 10.1.0.0/16 via 10.0.0.2\n",
            "iface br0 inet dhcp\n  bridge_hw eno1\n  address 10.0.0.1\n"
            "  up ip route add 10.1.0.0/16 via 10.0.0.2\n",
        ),
        (
            rewrites.netplan,
            f"network:\n  wifis:\n    a:\n      match:\n        macaddress: {MAC}\n"
            f"    b: {{match: {{macaddress: '{MAC}'}}}}\n  ethernets:\n    c:\n      match:\n"
            f"        macaddress: {MAC}\n  bridges:\n    br0:\n      macaddress: {MAC}\n",
            'network:\n  wifis:\n    a:\n      match:\n        name: "wl*"\n'
            '    b: {match: {name: "wl*"}}\n  ethernets:\n    c:\n      match:\n'
            '        name: "e*"\n  bridges:\n    br0:\n',
        ),
        (
            rewrites.connection,
            f"[connection]\nuuid={UUID}\ntype=vlan\ncontroller={UUID}\n[vlan]\nparent={UUID}\n"
            f"[bridge]\nmac-address={MAC}\n[ipv4]\ndhcp-hostname=gold\n",
            f"[connection]\nuuid={NEW}\ntype=vlan\ncontroller={NEW}\n[vlan]\nparent={NEW}\n"
            "[bridge]\n[ipv4]\n",
        ),
        (
            rewrites.ifcfg,
            f"HWADDR={MAC}\nUUID={UUID}\nMASTER_UUID={UUID.upper()}\nPHYSDEV={UUID}\nDEVICE=bond0\n",
            f"UUID={NEW}\nMASTER_UUID={NEW}\nPHYSDEV={NEW}\nDEVICE=bond0\n",
        ),
        (  # as they are read: blanks before a key; what else has a Type
            rewrites.networkd,
            f"[Match]\n\tMACAddress={MAC}\n[Route]\nType=blackhole\n",
            "[Match]\nType=ether\n[Route]\nType=blackhole\n",
        ),
        (
            rewrites.netdev,
            f"[NetDev]\n MACAddress={MAC}\n[Bond]\nAdActorSystem={MAC}\nMode=802.3ad\n",
            "[NetDev]\n[Bond]\nMode=802.3ad\n",
        ),
        (rewrites.without(rewrites.ADDRESSED), f"  up ip link set a addr {MAC}\n", ""),
        (
            rewrites.netplan,
            f"ethernets:\n  a: {{match: {{macaddress: {MAC}}}, set-name: lan0, dhcp4: true}}\n"
            f'  b: {{macaddress: {MAC}}}\n  c:\n    "match":  # that one\n'
            f'      "macaddress": "{MAC}"\nbridges: {{d: {{interfaces: [a], macaddress: {MAC}}}}}',
            'ethernets:\n  a: {match: {name: "e*"}, dhcp4: true}\n  b: {}\n'
            '  c:\n    "match":  # that one\n      name: "e*"\nbridges: {d: {interfaces: [a],}}',
        ),
        (
            rewrites.netplan,
            f'    NM-{UUID}:\n      networkmanager:\n        uuid: "{UUID}"\n'
            f'          ethernet.cloned-mac-address: "{MAC}"\n          ipv4.method: "auto"\n',
            f'    NM-{NEW}:\n      networkmanager:\n        uuid: "{NEW}"\n'
            '          ipv4.method: "auto"\n',
        ),
        (
            rewrites.connection,
            f"uuid={UUID}\n[ethernet]\n mac-address={MAC}\n[ipv4]\ndhcp-client-id=01:{MAC}\n"
            f"[ipv6]\ndhcp-duid=00:03:00:01:{MAC}\ndhcp-client-id=stable\n",
            f"uuid={NEW}\n[ethernet]\n[ipv4]\n[ipv6]\ndhcp-client-id=stable\n",
        ),
        (rewrites.adjtime, "0.9 1700000000 0.0\n1700000000\nLOCAL\n", "0.0 0 0.0\n0\nLOCAL\n"),
        (rewrites.iscsi, "## DO NOT EDIT OR REMOVE\nInitiatorName=iqn.x\n", "GenerateName=yes\n"),
        (rewrites.iscsi, "InitiatorName=iqn.x\n", None),
        (
            rewrites.allie_conf,
            "[allie]\nstore = /x\nhost = gold\n[system a]\nhost = b\n",
            "[allie]\nstore = /x\n[system a]\nhost = b\n",
        ),
        (  # what goes on in the next line goes with it
            rewrites.without(rewrites.ADDRESSED),
            f"iface a inet dhcp\n  hwaddress \\\n   ether {MAC}\n# up \\\n"
            f"  mtu 9000\n  up ip link set a \\\n    address {MAC}\n",
            "iface a inet dhcp\n# up \\\n  mtu 9000\n",
        ),
        (
            rewrites.networkd,
            f"[Match]\nMACAddress={MAC} \\\n# another\n {MAC}\nType=ether\n",
            "[Match]\nType=ether\n",
        ),
        (
            _rewrite_of("etc/mdadm/mdadm.conf"),
            "MAILADDR root\nARRAY /dev/md0\n   UUID=1:2:3:4\n\tdevices=/dev/sda1\n\nPROGRAM x\n",
            "MAILADDR root\n\nPROGRAM x\n",
        ),
        (
            _rewrite_of("etc/postfix/main.cf"),
            "mydestination = $myhostname,\n  localhost\nmyhostname =\n  gold\nrelayhost =\n",
            "mydestination = $myhostname,\n  localhost\nrelayhost =\n",
        ),
        (rewrites.gone_if("MACAddress="), "[Match]\n MACAddress=1\n", None),
        (rewrites.gone_if("MACAddress="), "[Match]\nName=e*\n", "[Match]\nName=e*\n"),
    ],
)
def test_rewriting(rewrite: rewrites.Rewrite, before: str, after: str | None) -> None:
    assert rewrite(before, OWN) == after
    if after is not None:
        assert rewrite(after, OWN) == after


_WORDS = (
    "[Match] [connection] match: MACAddress=1 127.0.1.1 root=UUID=1 type=ethernet uuid=1 ext4 ARRAY"
    " HWADDR=1 set-name: InitiatorName=x interface-name=e /dev/sda1 LABEL=x / /home swap none #"
    " gold UUID=1-2 resume_offset=1 match:_{macaddress:_1} macaddress:_1 host_=_x _ __ 0_0 | \\|"
).translate({ord("_"): " ", ord("|"): "\n", ord(" "): "\0"})


@given(st.lists(st.sampled_from(_WORDS.split("\0")), max_size=30).map("".join))
def test_what_was_rewritten_is_left_alone(text: str) -> None:
    """Else --check would find it again, for ever."""
    for rule in machine_own.RULES:
        if rule.rewrite:
            once = rule.rewrite(text, OWN)
            assert once is None or rule.rewrite(once, OWN) == once, rule.globs


def test_every_rule_has_its_reason_and_stays_inside() -> None:
    for rule in machine_own.RULES:
        assert len(rule.why) > 5
        assert (rule.action == machine_own.REWRITE) == (rule.rewrite is not None)
        for pattern in rule.globs.split():
            assert not pattern.startswith("/")
            assert ".." not in pattern.split("/")
            assert "*" not in pattern.split("/")[0]


@pytest.mark.parametrize(
    "name", "a.gz syslog.1 dnf.log-20240101 x.old Xorg.0.log m.log.2.xz".split()
)
def test_rotated(name: str) -> None:
    assert machine_own.is_rotated(name)


@pytest.mark.parametrize("name", "syslog wtmp dpkg.log faillog postgresql-13-main.log".split())
def test_not_rotated(name: str) -> None:
    assert not machine_own.is_rotated(name)


def test_what_is_wanted_is_not_left_out() -> None:
    every = not_captured.filters(not_captured.rows(()))
    assert "--filter=- /home/*" in every
    assert every.index("--filter=+ /var/cache/debconf/**") < every.index("--filter=- /var/cache/**")
    some = not_captured.filters(not_captured.rows(("/home", "/var/cache/")))
    assert not any("/home" in each or "/var/cache" in each for each in some)
    assert not_captured.reason("/tmp/*", not_captured.rows(())) == "temporary files"
    assert not_captured.reason("*.o", not_captured.rows(())) == ""


def test_the_mailbox_is_beside_the_offer() -> None:
    assert offering.mailbox("rsync://allie@h:1/offer") == "rsync://allie@h:1/offer-done"
    assert offering.mailbox("rsync://allie@h:1/offer/") == "rsync://allie@h:1/offer-done"
    assert offering.mailbox("rsync://h/other") == ""
    assert offering.mailbox("ssh://root@h/offer") == ""
    text = offering.configuration("/", "/run/x", 1, "")
    assert "hosts allow" not in text
    assert "hosts deny = *" in offering.configuration("/", "/run/x", 1, "server")


def test_a_label_is_no_longer_than_xfs_takes() -> None:
    """The longest file name of an image would be cut off by mkfs, or refused."""
    own = rewrites.Own("debian12-teaching")
    table = f"UUID={UUID} / xfs defaults 0 0\nUUID=1-2 /srv/debian12-teaching xfs defaults 0 0\n"
    labels = re.findall(r"LABEL=(\S+)", rewrites.fstab(table, own))
    assert labels == ["debian12-tea", "debian12-t2"]
    assert rewrites.kernel_words(f"root=UUID={UUID}", own) == "root=LABEL=debian12-tea"
