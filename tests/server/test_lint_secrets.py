"""`overlay lint` finds secrets in overlays that everybody reads, and is silent of what is none."""

from __future__ import annotations

import base64
import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from allie.cli import main
from allie.server import lint, lint_secrets, lint_settings, overlays
from allie.server import store as stores
from tests.worlds import machine
from tests.worlds.toy import Dir, File, Link, Tree, make_tree


def noise(
    count: int, letters: str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
) -> str:
    """Letters as a token has them: nowhere in this file is anything that looks like one."""
    return "".join(random.Random(count).choices(letters, k=count))


UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
BASE64 = base64.encodebytes(random.Random(7).randbytes(300)).decode()
WIREGUARD = base64.b64encode(random.Random(8).randbytes(32)).decode()


def pem(kind: str, body: str = BASE64, headers: str = "") -> str:
    return f"-----BEGIN {kind}-----\n{headers}{body}-----END {kind}-----\n"


ONE = pem("PRIVATE KEY")
KEYTAB = b"\5\2\0\0\0\x46" + bytes(0x46) + b"\0\0\0\0"
# A file's name, what is in it, and the word for what is found
SECRETS: list[tuple[str, str | bytes, str]] = [
    ("etc/ssl/private/x.key", pem("PRIVATE KEY"), "private key"),
    ("etc/ssl/private/x.pem", "some certificate\n" + pem("RSA PRIVATE KEY"), "private key"),
    ("etc/x.pem", pem("EC PRIVATE KEY").replace("\n", "\r\n"), "private key"),
    ("etc/ssh/ssh_host_rsa_key", pem("OPENSSH PRIVATE KEY"), "private key"),
    ("etc/x", pem("ENCRYPTED PRIVATE KEY"), "private key"),
    ("etc/x", pem("RSA PRIVATE KEY", BASE64, "Proc-Type: 4,X\nDEK-Info: A,B\n\n"), "private key"),
    ("root/key.asc", pem("PGP PRIVATE KEY BLOCK", headers="Version: GnuPG v1\n\n"), "private key"),
    ("etc/x.json", f'{{"k": "{ONE}"}}'.replace("\n", "\\n"), "private key"),
    ("etc/x.yaml", "key: |\n  " + pem("PRIVATE KEY").replace("\n", "\n  "), "private key"),
    ("etc/x.ppk", f"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n{BASE64}", "private key"),
    ("etc/age", f"# created\nAGE-SECRET-KEY-1{noise(58, UPPER)}\n", "private key"),
    ("etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {WIREGUARD}\n", "private key"),
    ("etc/systemd/network/wg0.netdev", f"[Peer]\nPresharedKey={WIREGUARD}\n", "private key"),
    ("etc/a.env", f"AWS_ACCESS_KEY_ID=AKIA{noise(16, UPPER)}\n", "token"),
    ("root/.aws/credentials", f"aws_secret_access_key = {noise(40)}\n", "token"),
    ("etc/x", f"token: ghp_{noise(36)}\n", "token"),
    ("etc/x", f"ghs_{noise(36)}", "token"),
    ("etc/x", f"github_pat_{noise(22)}_{noise(59)}", "token"),
    ("etc/x", f"url = https://u:glpat-{noise(20)}@gitlab.example.net/x.git", "token"),
    ("etc/gitlab-runner/config.toml", f'token = "glrt-{noise(20)}"', "token"),
    ("etc/x", f"xoxb-{noise(12)}-{noise(24)}", "token"),
    ("etc/x", f"https://hooks.slack.com/services/T{noise(9)}/B{noise(10)}/{noise(24)}", "token"),
    ("etc/x", f"key=AIza{noise(35)}", "token"),
    ("etc/x", f"sk_live_{noise(24)}", "token"),
    ("root/.npmrc", f"//registry.npmjs.org/:_authToken=npm_{noise(36)}", "token"),
    ("root/.pypirc", f"password = pypi-AgEIcHlwaS5vcmc{noise(80)}", "token"),
    ("etc/shadow", f"root:$6${noise(16)}${noise(86)}:19000:0:99999:7:::\n", "password's hash"),
    ("etc/shadow", f"root:$6$rounds=5000${noise(8)}${noise(86)}:1::::::\n", "password's hash"),
    ("etc/shadow", f"root:$5${noise(8)}${noise(43)}:1::::::\n", "password's hash"),
    ("etc/shadow", f"root:$y$j9T${noise(22)}${noise(43)}:1::::::\n", "password's hash"),
    ("etc/shadow", f"root:$1${noise(8)}${noise(22)}:1::::::\n", "password's hash"),
    ("etc/shadow", f"root:{noise(13)}:1::::::\n", "password's hash"),
    ("etc/shadow##class.lab", f"root:{noise(13)}:1::::::\n", "password's hash"),
    ("etc/apache2/.htpasswd", f"ann:$apr1${noise(8)}${noise(22)}\n", "password's hash"),
    ("etc/apache2/.htpasswd", f"ann:$2y$05${noise(53)}\n", "password's hash"),
    ("root/preseed.cfg", f"d-i passwd/root-password-crypted password $6${noise(8)}${noise(86)}\n",
     "password's hash"),
    ("root/.netrc", "machine x.example.net login ann password " + noise(9), "password"),
    ("root/.netrc", "machine x\n  login ann\n  password " + noise(9), "password"),
    ("etc/apt/auth.conf", "machine deb.example.net login u password " + noise(9), "password"),
    ("root/.pgpass", f"db:5432:*:ann:{noise(9)}\n", "password"),
    ("root/.my.cnf", f"[client]\npassword = {noise(9)}\n", "password"),
    ("etc/rsyncd.secrets", f"ann:{noise(9)}\n", "password"),
    ("etc/wpa_supplicant/wpa_supplicant.conf", f'network={{\n\tssid="x"\n\tpsk="{noise(9)}"\n}}\n',
     "password"),
    ("etc/NetworkManager/system-connections/x.nmconnection", f"[wifi-security]\npsk={noise(10)}\n",
     "password"),
    ("etc/network/interfaces", f"iface wlan0 inet dhcp\n  wpa-psk {noise(10)}\n", "password"),
    ("etc/hostapd/hostapd.conf", f"wpa_passphrase={noise(10)}\n", "password"),
    ("var/lib/iwd/x.psk", f"[Security]\nPassphrase={noise(10)}\n", "password"),
    ("etc/krb5.keytab", KEYTAB, "keytab"),
    ("etc/late", "x\n" * 10_000 + pem("PRIVATE KEY"), "private key"),
]  # fmt: skip
SILENT: list[tuple[str, str | bytes]] = [
    ("etc/ssl/x.pem", pem("CERTIFICATE") + pem("PUBLIC KEY") + pem("RSA PUBLIC KEY")),
    ("root/key.asc", pem("PGP PUBLIC KEY BLOCK") + pem("PGP SIGNATURE")),
    ("root/.ssh/authorized_keys", f"ssh-rsa AAAAB3NzaC1yc2E{noise(300)} ann@x\n"),
    ("etc/ssh/ssh_known_hosts", f"pc07 ssh-ed25519 AAAAC3{noise(60)}\n"),
    ("etc/x.conf", "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----\n"),
    ("etc/x.conf", "-----BEGIN PRIVATE KEY-----\n<paste it here, all of it>\n"),
    ("etc/x.sh", "grep -q 'BEGIN RSA PRIVATE KEY' \"$1\" && echo it is a PRIVATE KEY\n"),
    ("etc/wireguard/wg0.conf", f"[Peer]\nPublicKey = {WIREGUARD}\n"),
    ("etc/wireguard/wg0.conf", "[Interface]\n# PrivateKey = \nPrivateKey = <key of this host>\n"),
    ("etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {'A' * 43}=\n"),
    ("etc/wireguard/wg0.conf", "PostUp = wg set %i private-key /etc/wireguard/%i.key\n"),
    ("etc/a.env", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\nAWS_SECRET_ACCESS_KEY=\n"),
    ("etc/a.env", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"),
    ("etc/x", "GITHUB_TOKEN=ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\nghp_short\n"),
    ("etc/x", "TOKEN=glpat-your-token-goes-here\nxoxb-your-token-comes-here-please\n"),
    ("etc/x", f"commit {noise(40, '0123456789abcdef')}\nsha256 {noise(64, '0123456789abcdef')}\n"),
    ("etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:!:1::::::\nann:!!:1::::::\nbob::1::::::\n"),
    ("etc/x", "crypt is $6$salt$hash, or $2b$12$..., or $y$j9T$\n"),
    ("etc/x.sh", "echo \"$1$2\" $5 $6 \"${y}$1$x\"\n"),
    ("root/.netrc", "machine x login ann password <password>\n# password is elsewhere\n"),
    ("root/.netrc", "machine x login anonymous\n"),
    ("root/.pgpass", "# hostname:port:database:username:password\n"),
    ("root/.my.cnf", "[client]\nuser = ann\npassword = ${PASSWORD}\n"),
    ("etc/wpa_supplicant/x.conf", "key_mgmt=WPA-PSK\n#psk=\"changeme!\"\npsk=ext:home_psk\n"),
    ("etc/NetworkManager/system-connections/x", "[wifi-security]\nkey-mgmt=wpa-psk\npsk-flags=1\n"),
    ("etc/hostapd/hostapd.conf", "#wpa_passphrase=secret passphrase\nwpa_passphrase=changeme\n"),
    ("etc/krb5.keytab", b"\5\2"),
    ("usr/share/x.bin", b"\5\2" + bytes(1000)),
    ("usr/bin/x", b"\x7fELF" + bytes(400) + pem("PRIVATE KEY").encode()),
    ("etc/pam.d/x", "password required pam_unix.so sha512 shadow\n"),
    ("etc/empty", ""),
    ("etc/beyond", "x\n" * 40_000 + pem("PRIVATE KEY")),
    ("etc/large", pem("PRIVATE KEY") + "x" * (5 << 20)),
]  # fmt: skip


def found(tmp_path: Path, tree: Tree) -> list[str]:
    make_tree(tmp_path / "overlays/lab", tree)
    overlay = overlays.sort(str(tmp_path), "overlays/lab")[0]
    return [
        f"{each.path}: {each.message}" for each in lint_secrets.of_overlay(str(tmp_path), overlay)
    ]


@pytest.mark.parametrize(("name", "content", "words"), SECRETS, ids=[e[0] for e in SECRETS])
def test_a_secret_is_found_and_not_shown(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    (said,) = found(tmp_path, {name: File(content)})
    assert f"{words}, and is read by all" in said
    assert "allie store private HOST" in said
    assert f"private/HOST/{name.partition('##')[0]}" in said
    plain = content if isinstance(content, str) else ""
    assert not [
        word for word in plain.split() if len(word) > 12 and word in said and "/" not in word
    ]


@pytest.mark.parametrize(("name", "content"), SILENT, ids=[e[0] for e in SILENT])
def test_what_is_no_secret_is_not_named(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert found(tmp_path, {name: File(content)}) == []


def test_the_host_of_a_variant_is_named(tmp_path: Path) -> None:
    (said,) = found(tmp_path, {"etc/x##host.PC07": pem("PRIVATE KEY")})
    assert "private/pc07/etc/x (allie store private pc07)" in said


@pytest.mark.real
def test_a_key_that_ssh_keygen_made(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        for form in ("RFC4716", "PEM"):
            name = f"{kind}-{form}"
            key = tmp_path / "overlays/lab" / name
            key.parent.mkdir(parents=True, exist_ok=True)
            command = ["ssh-keygen", "-q", "-t", kind, "-m", form, "-N", "", "-f", str(key)]
            subprocess.run(command, check=True)
            said = found(tmp_path, {})
            assert [each.partition(":")[0] for each in said] == [f"overlays/lab/{name}"], "not .pub"
            key.unlink()
            key.with_name(f"{name}.pub").unlink()


def test_only_what_lies_in_the_overlay_is_read(tmp_path: Path) -> None:
    """A link leads elsewhere, a fifo is never done, a directory swapped for a link leads out."""
    make_tree(tmp_path / "out", {"key": pem("PRIVATE KEY")})
    tree: Tree = {"etc/link": Link(str(tmp_path / "out/key")), "d/key": "x\n"}
    make_tree(tmp_path / "overlays/lab", tree)
    os.mkfifo(tmp_path / "overlays/lab/etc/fifo")
    overlay = overlays.sort(str(tmp_path), "overlays/lab")[0]
    (tmp_path / "overlays/lab/d/key").unlink()
    (tmp_path / "overlays/lab/d").rmdir()
    (tmp_path / "overlays/lab/d").symlink_to(tmp_path / "out")
    assert lint_secrets.of_overlay(str(tmp_path), overlay) == []


@pytest.mark.parametrize(
    "piece",
    [" ", "\t", "a", "-", "$6$", "$y$", "machine ", "psk=", "psk = ", ":", "PrivateKey =",
     "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\n" + " " * 1000, "A: b\n",
     "password ", "xoxb-", "secret_access_key=", "\n"],
)  # fmt: skip
def test_no_content_takes_long(tmp_path: Path, piece: str) -> None:
    """What a pattern costs grows with the length of the file, and not with its square."""
    text = piece * ((64 << 10) // len(piece))
    names = (".netrc", ".pgpass", ".my.cnf", "shadow", "rsyncd.secrets", "x")
    before = time.process_time()
    found(tmp_path, {f"etc/{name}": text for name in names})
    found(tmp_path, {f"etc/{name}": f"-----BEGIN PRIVATE KEY-----\n{text}" for name in names})
    assert time.process_time() - before < 2


# --- what is one host's own ----------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = tmp_path / "store"
    stores.init(str(made))
    make_tree(made / "private", {"pc07": Dir(0o700)})
    make_tree(made / "private/pc07", {"etc/key": File(pem("PRIVATE KEY"), 0o600)})
    return made


def run(capsys: pytest.CaptureFixture[str], store: Path, *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main.main(["--store", str(store), "overlay", *words])
    out, err = capsys.readouterr()
    return code, out + err


pytestmark = pytest.mark.skipif(not machine.is_root(), reason="needs root")


def test_a_private_place_may_hold_secrets_and_is_linted(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, store, "lint") == (0, "")
    (store / "private/pc07/root/conf").mkdir(parents=True)
    (store / "private/pc07/root/conf/x").touch()
    (store / "private/pc07/etc/m##host.a,host.b").touch()
    for words in (("lint",), ("lint", "private/pc07")):
        said = run(capsys, store, *words)[1]
        assert "private/pc07/root/conf/x: is no name for a conf script" in said
        assert "private/pc07/etc/m##host.a,host.b: " in said


def test_a_hosts_own_settings_need_name_no_overlay(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = "[allie]\nstore = /srv\nhost = pc07\n[system pc]\noverlays = kit, common\n"
    make_tree(store / "overlays/common", {"etc/allie/allie.conf": conf})
    make_tree(store / "private/pc07", {"etc/allie/allie.conf": conf})
    said = run(capsys, store, "lint")[1]
    assert "overlays/common/etc/allie/allie.conf: host gives all PCs" in said
    assert "private/pc07/etc/allie" not in said


@pytest.mark.parametrize(("mode", "owner"), [(0o755, 0), (0o710, 0), (0o701, 0), (0o700, 65534)])
@pytest.mark.parametrize("name", ["private", "private/pc07"])
def test_a_private_place_that_others_can_enter_is_an_error(
    store: Path, capsys: pytest.CaptureFixture[str], mode: int, owner: int, name: str
) -> None:
    (store / name).chmod(mode)
    os.chown(store / name, owner, 0)
    code, said = run(capsys, store, "lint")
    assert code == 1
    assert f"error: {name}: is not root's alone: chown 0:0 {store}/{name}; chmod 700" in said
    if name != "private":
        assert run(capsys, store, "lint", name)[0] == 1


def test_names_that_no_host_has_are_errors(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_tree(store / "private", {"PC08": Dir(0o700), "file": "", "link": Link("pc07")})
    make_tree(store / "private", {".withdrawn/pc07/1/etc/x": "x\n"})
    make_tree(store / "overlays", {"private": Dir()})
    code, said = run(capsys, store, "lint")
    assert code == 1
    for name in ("PC08", "file", "link"):
        assert f"error: private/{name}: is no host's" in said
    assert "error: overlays/private: each host's own is called so" in said
    assert ".withdrawn" not in said


def test_it_is_listed_and_explained_as_the_last_of_its_host(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(store / "overlays/common", {"etc/key": "for all\n"})
    assert "private/pc07                  1 files" in run(capsys, store, "list")[1]
    for host in ("pc07", "PC07", "pc07.example.org"):
        said = run(capsys, store, "why", "/etc/key", "--host", host)[1]
        assert said.startswith("/etc/key is private/pc07/etc/key\n"), said
    assert "is common/etc/key" in run(capsys, store, "why", "/etc/key", "--host", "pc08")[1]
    assert "PRIVATE" not in said


def test_classes_of_a_hosts_own_count_for_it(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(store / "overlays/common", {"etc/m": "", "etc/m##class.lab": ""})
    make_tree(store / "private/pc07", {"etc/allie/classes": "lab: pc*\n"})
    assert "m##class.lab\n" in run(capsys, store, "why", "/etc/m", "--host", "pc07")[1]
    assert "is common/etc/m\n" in run(capsys, store, "why", "/etc/m", "--host", "pc08")[1]


def test_ten_thousand_files_cost_little_more(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with the rest of lint, in one run."""
    text = "# a comment with a password, a key and $1, for psk and gh_ in it\nkey = value\n" * 30
    make_tree(store / "overlays/common", {f"etc/d{n % 50}/f{n}": text for n in range(5000)})
    site = lint_settings.survey(str(store))

    def cost() -> float:
        before = time.process_time()
        assert lint.lint(str(store), "common", [], site) == []
        return time.process_time() - before

    with_secrets = min(cost() for _ in range(3))
    monkeypatch.setattr(lint_secrets, "of_overlay", lambda *_: [])
    assert with_secrets < 4 * min(cost() for _ in range(3))
