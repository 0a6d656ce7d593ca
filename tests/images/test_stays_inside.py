"""Nothing outside a tree is read or changed, whatever links, fifos and devices the tree has."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from allie.client.systems import own_files
from allie.client.use import export
from allie.core.conf.settings import Declared
from allie.core.errors import AllieError, PathRefused, StateError
from allie.core.image import rewrites
from allie.machine.files import atomic
from allie.machine.roots import kernels, open_system, within
from allie.server import lint, store
from allie.server.images import blandify, catalogue
from tests.images.site import Store, rich_root, things
from tests.images.test_blandify import GOLDEN
from tests.worlds.toy import Device, Fifo, File, Link, Tree, make_tree

pytestmark = [pytest.mark.root]
# What stands outside: a whole machine of its own, which would be as good a prey as the image
OUTSIDE: Tree = {
    **GOLDEN,
    "etc/secret": "gold17, the server's own\n",
    "etc/hosts.deny": "gold17\n",
    "usr/bin/tool": File("#!/bin/sh\n", 0o755),
    "boot/vmlinuz-9-outside": "kernel\n",
    "boot/initrd.img-9-outside": "initrd\n",
    "lib/modules/9-outside/x.ko": "module\n",
    "usr/lib/os-release": "ID=outside\n",
    "etc/os-release": "ID=outside\n",
    "var/log/allie/50x.log": "log\n",
    "var/lib/allie/mirror/current": "mirror\n",
}
LINKED = (
    *(
        "etc",
        "etc/ssh",
        "etc/allie",
        "etc/systemd",
        "etc/systemd/network",
        "etc/network",
        "etc/lvm",
    ),
    *("etc/NetworkManager/system-connections", "etc/default", "etc/sysconfig", "etc/iscsi"),
    *("var", "var/lib", "var/lib/allie", "var/lib/dbus", "var/lib/systemd", "var/log", "var/spool"),
    *("var/log/allie", "var/log/journal", "var/lib/cloud", "var/crash"),
    *("root", "root/.ssh", "root/done", "home", "home/ann", "usr", "usr/bin", "usr/lib", "boot"),
    *("boot/grub", "lib", "lib/modules"),
    # the last name itself
    *("etc/machine-id", "etc/hostname", "etc/hosts", "etc/fstab", "etc/os-release"),
    *("etc/allie/allie.conf", "etc/allie/system", "etc/default/grub", "var/log/auth.log"),
    *("etc/ssh/ssh_host_ed25519_key", "var/lib/dbus/machine-id", "etc/allie/.allie.conf.allie0"),
)

# Of it, what `fit` has to do with
_OF_FIT = (
    *("etc/host", "etc/machine-id", "etc/fstab", "etc/ssh/ssh", "etc/allie", "etc/netplan"),
    *("etc/systemd", "var/lib/allie", "var/lib/dbus", "var/log/allie", "root/done", "home/ann"),
)
SMALL: Tree = {
    name: OUTSIDE[name] for name in OUTSIDE if isinstance(name, str) and name.startswith(_OF_FIT)
}


def _is_above(path: str) -> bool:
    return any(str(name).startswith(f"{path}/") for name in SMALL)


def _put(tree: Path, path: str, target: str) -> None:
    at = tree / path
    if at.is_dir() and not at.is_symlink():
        shutil.rmtree(at)
    elif os.path.lexists(at):
        at.unlink()
    at.parent.mkdir(parents=True, exist_ok=True)
    at.symlink_to(target)


@pytest.fixture(params=["absolute", "dots"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A link's target that leads to what is outside, for whoever follows it there."""
    outside = make_tree(tmp_path / "outside", OUTSIDE)
    start = {"absolute": "", "dots": "../" * 40}
    return f"{start[str(request.param)]}{outside}".replace("//", "/")


@pytest.mark.parametrize("path", LINKED)
def test_the_server_stays_inside_an_image(tmp_path: Path, path: str, target: str) -> None:
    top = str(tmp_path / "store")
    store.init(top)
    image = make_tree(Path(top) / "images/img", OUTSIDE)
    _put(image, path, f"{target}/{path}")
    (Path(top) / "overlays/o/etc/ssh").mkdir(parents=True)
    outside = tmp_path / "outside"
    before = things(outside)
    own = blandify.own_of(str(image), "img")
    said = [
        *blandify.mentions(str(image), ("gold17", blandify.machine_id(str(image)))),
        *(each.path for each in blandify.check(str(image), own)),
        *(each.path for each in blandify.apply(str(image), own)),
        *(each.message for each in lint.lint(top, "o", ["img"])),
    ]
    described = catalogue.describe(top, "img")
    if path in ("etc", "usr"):
        assert not catalogue.is_root(str(image))
    if path in ("boot", "lib", "lib/modules"):
        assert described.kernels in ((), ("9-outside",))
        assert [each.release for each in kernels.found(str(image))] in ([], ["9-outside"])
    assert things(outside) == before
    if path == "etc":
        assert not [each for each in said if each.startswith("etc/")], (
            "the server's own is not read"
        )
        assert own.host == described.distro == ""


@pytest.mark.real
@pytest.mark.parametrize("path", [each for each in LINKED if each in SMALL or _is_above(each)])
def test_a_pc_stays_inside_a_new_system(tmp_path: Path, path: str, target: str) -> None:
    outside = tmp_path / "outside"
    base = open_system.open_system(str(make_tree(tmp_path / "base", SMALL)))
    declared = Declared("new", "LABEL=new", "img", ("kit",))
    old = str(make_tree(tmp_path / "old", {**SMALL, "home/ann/file": "hers\n"}))
    new = str(make_tree(tmp_path / "new", SMALL))
    _put(Path(new), path, f"{target}/{path}")
    before = things(outside)
    steps: list[Callable[[], None]] = [
        lambda: own_files.drop_state(new),
        lambda: own_files.keep(old, new, (*own_files.KEEP, own_files.MIRROR)),
        lambda: own_files.give(base, declared, new),
        lambda: own_files.settle(new, "[allie]\n"),
        lambda: own_files.mount_points(new),
        lambda: own_files.name_it(new, declared),
    ]
    for number, step in enumerate(steps):
        try:
            step()
        except AllieError:
            pass
        assert things(outside) == before, number


def test_what_is_kept_goes_where_the_new_tree_has_it(tmp_path: Path) -> None:
    """One tree has /home, the other a link there, as ostree has; and one like the other."""
    plain: Tree = {"home/ann/file": "hers\n", "etc/hostname": "pc7\n"}
    linked: Tree = {
        "var/home/ann/file": "hers\n",
        "home": Link("/var/home"),
        "etc/hostname": "pc7\n",
    }
    empty_plain: Tree = {"home/x": "", "etc/x": "", "var/home/x": ""}
    empty_linked: Tree = {"var/home/x": "", "home": Link("/var/home"), "etc/x": ""}
    for number, (had, has, at) in enumerate(
        [
            (plain, empty_linked, "var/home"),
            (linked, empty_plain, "home"),
            (linked, empty_linked, "var/home"),
        ]
    ):
        old = make_tree(tmp_path / f"old{number}", had)
        new = make_tree(tmp_path / f"new{number}", has)
        own_files.keep(str(old), str(new), own_files.KEEP)
        assert (new / at / "ann/file").read_text() == "hers\n"
        assert (new / "etc/hostname").read_text() == "pc7\n"


def test_what_is_kept_is_left_alone_where_links_lead(tmp_path: Path) -> None:
    links: Tree = {"home": Link("var/ho[me]"), "var/ho[me]/ann/x": "", "srv": Link("/")}
    make_tree(tmp_path, {**links, "etc": Link("nowhere"), "var/mail": Link("spool/mail")})
    make_tree(tmp_path, {"var/spool/mail/ann": ""})
    found = own_files.excluded(str(tmp_path), update=True)
    plain = [f"/{path}" for path in (*own_files.NEVER, *own_files.KEEP)]
    assert found == [*dict.fromkeys(plain), r"/var/ho\[me]/*"]


def test_a_program_is_looked_for_inside(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", OUTSIDE)
    root = make_tree(tmp_path / "root", {"usr/local/bin": Link(f"{outside}/usr/bin")})
    with pytest.raises(StateError, match="no program tool"):
        export.find_program(str(root), "tool")


@pytest.mark.parametrize("program", ["/bin/x\nreboot", "/bin/\x1b[2J", "/bin/\udcff"])
def test_a_name_begins_no_line_of_a_script(tmp_path: Path, program: str) -> None:
    with pytest.raises(StateError):
        export.write_shim("el7", program, str(tmp_path / "x"))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "what", [Fifo(), Device(1, 5), Device(7, 200, stat.S_IFBLK | 0o600), File("", size=1 << 40)]
)
@pytest.mark.parametrize(
    "path", ["etc/hostname", "etc/machine-id", "etc/fstab", "etc/os-release", "etc/netplan/50.yaml"]
)
def test_what_is_no_small_file_is_not_read_or_waited_for(
    tmp_path: Path, path: str, what: Fifo | Device | File
) -> None:
    image = str(make_tree(tmp_path / "image", {"usr/x": "", path: what}))
    began = time.monotonic()
    assert within.read(image, path) is None
    own = blandify.own_of(image, "img")
    blandify.mentions(image, ("gold17",))
    blandify.machine_id(image)
    blandify.check(image, own)
    own_files.mount_points(image)
    if not isinstance(what, File):
        assert atomic.read_bytes(f"{image}/{path}") is None
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "what", [Fifo(), Device(7, 200, stat.S_IFBLK | 0o600), Link("/etc/passwd")]
)
def test_what_stands_under_a_temporary_name_is_not_written_to(
    tmp_path: Path, what: Fifo | Device | Link
) -> None:
    names = (".fstab.allie0", "fstab.part")
    image = make_tree(tmp_path / "image", {"etc/fstab": "x\n"})
    make_tree(image, {f"etc/{name}": what for name in names})
    within.write(str(image), "etc/fstab", b"new\n")
    atomic.write(f"{image}/etc/fstab", "newer\n")
    assert (image / "etc/fstab").read_text() == "newer\n"
    assert os.listdir(image / "etc") == ["fstab"]


def test_a_hard_link_under_a_temporary_name_is_not_written_to(tmp_path: Path) -> None:
    image = make_tree(tmp_path / "image", {"etc/fstab": "x\n", "etc/other": "other\n"})
    for name in (".fstab.allie0", "fstab.part"):
        os.link(image / "etc/other", image / "etc" / name)
    within.write(str(image), "etc/fstab", b"new\n")
    atomic.write(f"{image}/etc/fstab", "newer\n")
    assert (image / "etc/other").read_text() == "other\n"


def test_nothing_is_written_through_a_link_or_into_a_directory(tmp_path: Path) -> None:
    image = make_tree(tmp_path / "image", {"etc/dir/x": "", "link": Link("etc")})
    with pytest.raises(PathRefused):
        within.write(str(image), "link/file", b"")
    with pytest.raises(StateError, match="etc/dir"):
        within.write(str(image), "etc/dir", b"")
    with pytest.raises(PathRefused):
        within.make_directories(str(image), "link/a/b")
    assert os.listdir(image / "etc") == ["dir"]


@pytest.mark.parametrize(
    "text",
    [
        "match:{" * 20_000,
        "match:{macaddress:" * 20_000,
        "\n" * 400_000 + "x",
        "UUID=1 / ext4\n" + "".join(f"UUID={n} /mnt{n} ext4\n" for n in range(30_000)),
        " " * 400_000 + "x",
        "root=UUID=" * 40_000,
        "a" * 400_000,
        "\\\n" * 200_000,
        "up \\\n" + "addr " * 80_000,
    ],
    ids=["match", "mac", "lines", "fstab", "blanks", "root", "letters", "going on", "up"],
)
def test_no_text_takes_a_rewrite_for_ever(text: str) -> None:
    own = rewrites.Own("img", "gold17")
    began = time.process_time()
    for rewrite in (rewrites.netplan, rewrites.fstab, rewrites.crypttab, rewrites.kernel_words):
        rewrite(text, own)
    for rewrite in (rewrites.connection, rewrites.networkd, rewrites.hosts, rewrites.allie_conf):
        rewrite(text, own)
    rewrites.without(rewrites.ADDRESSED)(text, own)
    assert time.process_time() - began < 20


def test_what_else_lies_among_the_images_is_passed_over(tmp_path: Path) -> None:
    """A link there would lead out; a name that is none would end the list."""
    server = Store(tmp_path / "store")
    server.run("image", "import", "toy1", rich_root(tmp_path / "root")).ok()
    places = server.image("toy1").parent
    (places / "away").symlink_to(tmp_path / "root")
    os.mkdir(os.fsencode(places) + b"/odd\xff\x1b[31m")
    done = server.run("image", "list").ok()
    assert "toy1" in done.out
    assert "away" not in done.out
    assert done.err.count("passed over") == 2
    assert "\x1b[31m" not in done.err
    assert server.run("image", "blandify", "away", "--check").rc == 64
