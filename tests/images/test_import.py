"""`allie image import`: faithful, complete or absent, a difference the second time."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.images.site import Store, rich_root, things
from tests.worlds.loop import looped
from tests.worlds.oci import oci_layout
from tests.worlds.store import ServedByAllie
from tests.worlds.toy import File, make_tree, toy_root

pytestmark = [pytest.mark.root, pytest.mark.real]
COMPRESSIONS = ("", "--gzip", "--xz", "--zstd", "--bzip2")


def _tar(root: Path, archive: Path, *options: str) -> Path:
    keep = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "--sparse"]
    argv: list[str | Path] = [
        "tar",
        "-c",
        "--format=posix",
        *keep,
        *(each for each in options if each),
        "-f",
        archive,
        ".",
    ]
    subprocess.run(argv, cwd=root, check=True)
    return archive


def test_a_directory_comes_with_all_that_it_has(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    said = server.run("image", "import", "toy1", root).ok().out
    assert things(server.image("toy1")) == things(root)
    assert things(root)["srv/sparse"].content.endswith("sparse")
    assert "toy1" in said
    assert not list(server.part("").iterdir())


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_tar_comes_with_all_that_it_has(tmp_path: Path, compression: str) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    archive = _tar(root, tmp_path / "any.name", compression)
    server.run("image", "import", "toy1", archive).ok()
    assert things(server.image("toy1")) == things(root)


def test_of_what_is_no_tar_it_says_what_to_look_at(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    (tmp_path / "a file").write_text("not at all\n")
    done = server.run("image", "import", "toy1", tmp_path / "a file")
    assert done.rc == 2
    hint = f"       is it a tar, and whole? file '{tmp_path}/a file'"
    assert done.err.splitlines()[1:] == [hint], "no command line of ours"


def test_the_second_time_only_the_difference_is_written(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    before = server.image("toy1")
    kept, changed = (os.lstat(before / f"srv/{name}").st_ino for name in ("owned", "old"))
    make_tree(root, {"srv/old": "new now\n", "srv/added": "new\n"})
    os.chmod(root / "srv/acl", 0o600)
    (root / "srv/pipe").unlink()
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)
    assert os.lstat(server.image("toy1") / "srv/owned").st_ino == kept
    assert os.lstat(server.image("toy1") / "srv/old").st_ino != changed
    assert not list(server.part("").iterdir())


def test_an_edit_within_one_second_is_seen(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    (root / "srv/one").write_text("aaaa\n")
    os.utime(root / "srv/one", ns=(10**18 + 1, 10**18 + 1))
    server.run("image", "import", "toy1", root).ok()
    (root / "srv/one").write_text("bbbb\n")
    os.utime(root / "srv/one", ns=(10**18 + 2, 10**18 + 2))
    server.run("image", "import", "toy1", root).ok()
    assert (server.image("toy1") / "srv/one").read_text() == "bbbb\n"


@pytest.mark.parametrize(
    ("mode", "owner", "wanted"),
    [
        (0o700, 0, 0o755),  # mktemp's
        (0o2775, 1000, 0o755),  # somebody's own
        (0o1777, 0, 0o755),
        (0o555, 0, 0o555),  # Fedora's
    ],
)
@pytest.mark.parametrize("kind", ["directory", "tar"])
def test_the_top_is_roots_and_open_whatever_it_was(
    tmp_path: Path, kind: str, mode: int, owner: int, wanted: int
) -> None:
    root, server = toy_root(tmp_path / "root"), Store(tmp_path / "store")
    os.chown(root, owner, owner)
    os.chmod(root, mode)
    source = root if kind == "directory" else _tar(root, tmp_path / "archive")
    for verb in (["import", "toy1", source], ["blandify", "toy1"]):
        server.run("image", *verb).ok()
        st = os.stat(server.image("toy1"))
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (wanted, 0, 0)


@pytest.mark.parametrize("name", ["", ".x", "a/b", "..", "-x", "a b", "ä"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    server = Store(tmp_path / "store")
    done = server.run("image", "import", "--", name, toy_root(tmp_path / "root"))
    assert done.rc in (2, 64), done
    assert len(done.err.splitlines()) <= 2
    assert server.names() == []


def test_what_is_no_root_is_refused(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    (tmp_path / "photos").mkdir()
    make_tree(tmp_path / "photos", {"2019/beach": "sand\n"})
    archive = _tar(tmp_path / "photos", tmp_path / "photos.tar")
    for source in (tmp_path / "photos", archive):
        done = server.run("image", "import", "toy1", source)
        assert done.rc == 64
        assert "is no Linux root" in done.err
        assert "--force" in done.err
        assert server.names() == []
        assert not list((server.top / "images/.parts").iterdir()), "nothing of it stays"
    server.run("image", "import", "toy1", tmp_path / "photos", "--force").ok()
    assert (server.image("toy1") / "2019/beach").exists()


def test_other_sources_that_cannot_be_meant(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    for source, words in (
        ("/", "running system"),
        (tmp_path, "holds the store"),
        (tmp_path / "missing", "not a directory"),
        ("/dev/null", "not a directory"),
    ):
        done = server.run("image", "import", "toy1", source)
        assert done.rc == 64, done
        assert words in done.err
    (tmp_path / "text").write_text("no tar\n")
    done = server.run("image", "import", "toy1", tmp_path / "text")
    assert done.rc == 2
    assert "tar" in done.err
    assert server.names() == []


def test_what_is_said_is_the_cause(tmp_path: Path) -> None:
    """Not what an archive's names or times are no more than odd in, which tar says before it."""
    root, server = toy_root(tmp_path / "root"), Store(tmp_path / "store")
    os.utime(root / "etc/os-release", (1 << 33, 1 << 33))
    make_tree(root, {"usr/large": File("x" * 20_000)})
    archive = _tar(root, tmp_path / "tar", "--absolute-names", "--transform=flags=r;s,^\\.,/,")
    server.run("image", "import", "toy1", archive).ok()
    os.truncate(archive, archive.read_bytes().index(b"x" * 1024) + 512)
    done = server.run("image", "import", "toy2", archive)
    assert done.rc == 2
    assert "Unexpected EOF" in done.err
    assert server.names() == ["toy1"]


@pytest.mark.parametrize("compression", ["", "--zstd"])
def test_an_archive_that_was_cut_short_anywhere_is_no_image(
    tmp_path: Path, compression: str
) -> None:
    """tar takes one that ends between two files, or in a file's head, for whole."""
    root, server = toy_root(tmp_path / "root"), Store(tmp_path / "store")
    whole = _tar(root, tmp_path / "tar").read_bytes()
    end = whole.rindex(b"ustar") // 512 * 512  # the head of the last
    end += 512 + -(-int(whole[end + 124 : end + 135], 8) // 512) * 512
    cuts = [*range(512, end, 7 * 512), end - 512 - 100, end]
    for size in cuts:
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:size])
        if compression:
            subprocess.run(["zstd", "-q", "-f", "--rm", "-o", tmp_path / "z", cut], check=True)
            (tmp_path / "z").rename(cut)
        done = server.run("image", "import", "toy1", cut)
        assert done.rc == 2, size
        assert "cut short" in done.err or "Unexpected EOF" in done.err
        assert server.names() == []
        assert not list(server.part("").iterdir())


def test_what_follows_blocks_of_zeros_is_not_missing(tmp_path: Path) -> None:
    """tar takes them for the end: of one archive with another appended, or with a hole in it."""
    root = toy_root(tmp_path / "root", {"usr/large": File("x" * 20_000)})
    server, more = Store(tmp_path / "store"), make_tree(tmp_path / "more", {"opt/late": "late\n"})
    first, second = (_tar(top, tmp_path / "tar").read_bytes() for top in (root, more))
    both = tmp_path / "both"
    both.write_bytes(first + second)
    server.run("image", "import", "toy1", both).ok()
    assert (server.image("toy1") / "opt/late").read_text() == "late\n"
    assert (server.image("toy1") / "etc/passwd").exists()
    head = first.index(b"x" * 1024) - 512
    both.write_bytes(first[:head] + bytes(512) + first[head + 512 :])
    done = server.run("image", "import", "toy2", both)
    assert (done.rc, server.names()) == (2, ["toy1"]), done


@contextmanager
def _mounted(*argv: str | Path) -> Iterator[None]:
    subprocess.run(["mount", *argv], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", argv[-1]], check=True)


@pytest.mark.parametrize("kind", ["tar", "directory", "layout"])
def test_a_capability_that_the_disk_does_not_take_is_not_lost_in_silence(
    tmp_path: Path, kind: str
) -> None:
    """tar and umoci end with 0."""
    if kind == "layout" and not shutil.which("umoci"):
        pytest.skip("needs umoci")
    root, server = toy_root(tmp_path / "root"), Store(tmp_path / "store")
    plain = _tar(root, tmp_path / "plain")
    subprocess.run(["setcap", "cap_net_raw+ep", root / "etc/passwd"], check=True)
    source = _tar(root, tmp_path / "tar") if kind == "tar" else root
    source = oci_layout(tmp_path / "layout", root) if kind == "layout" else source
    with _mounted("-t", "ramfs", "ramfs", server.top / "images"):
        done = server.run("image", "import", "toy1", source)
        assert (done.rc, server.names()) == (2, []), done
        assert "security.capability" in done.err or "Operation not supported" in done.err
        done = server.run("image", "import", "toy1", plain).ok()
        assert "keeps no ACLs" in done.err


def test_what_is_mounted_in_a_source_is_left_out_and_named(tmp_path: Path) -> None:
    """Also a directory or a file of the same file system, and a name that is a pattern."""
    odd = "opt/a[b]\\*c"
    root = rich_root(tmp_path / "root", {"etc/mtab": "its own\n", f"{odd}/own": "hidden\n"})
    make_tree(root, {"opt/abc/x": "matches\n"})
    server = Store(tmp_path / "store")
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter").write_text("somebody's\n")
    with (
        _mounted("-t", "tmpfs", "tmpfs", root / "mnt"),
        _mounted("--bind", other, root / "home"),
        _mounted("--bind", other, root / odd),
        _mounted("--bind", other / "letter", root / "etc/mtab"),
    ):
        (root / "mnt/other").touch()
        said = server.run("image", "import", "toy1", root).ok().out
    for point in ("mnt", "home", odd, "etc/mtab"):
        assert f"left out: {root}/{point}: mounted there" in said
    for point in ("mnt", "home", odd):
        assert list((server.image("toy1") / point).iterdir()) == []
    assert not (server.image("toy1") / "etc/mtab").exists()
    assert (server.image("toy1") / "opt/abc/x").exists()


def test_nested_subvolumes_come_and_snapshots_are_named(tmp_path: Path) -> None:
    server, disk, place = Store(tmp_path / "store"), tmp_path / "disk", tmp_path / "place"
    with disk.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.btrfs", "-q", disk], check=True)
    place.mkdir()
    with looped(disk) as device, _mounted(device, place):
        for name in ("gold", "gold/deep", "gold/deep/er"):
            subprocess.run(["btrfs", "-q", "subvolume", "create", place / name], check=True)
        root = rich_root(place / "gold", {"deep/er/app": "app\n"})
        wanted = set(things(root))
        for name in ("deep/snap", ".snapshots"):
            take = ["btrfs", "-q", "subvolume", "snapshot", "-r"]
            subprocess.run([*take, root / "deep", root / name], check=True)
        said = server.run("image", "import", "toy1", root).ok().out
    assert f"left out: {root}/deep/snap: a read-only snapshot" in said
    assert f"left out: {root}/.snapshots: a read-only snapshot" in said
    assert set(things(server.image("toy1"))) - {"deep/snap", ".snapshots"} == wanted


SWAP = {4096: b"SWAPSPACE2", 65536: b"SWAPSPACE2", 8192: b"S1SUSPEND\0"}


@pytest.mark.parametrize("kind", ["directory", "tar"])
def test_swap_is_left_out_and_named_whatever_its_name(tmp_path: Path, kind: str) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    for page, sign in SWAP.items():
        content = bytearray((1 << 20) + page // 5)  # mkswap(8) takes any size
        content[page - 10 : page] = sign
        make_tree(root, {f"var/lib/page{page}.bin": bytes(content)})
    make_tree(root, {"usr/share/swap.img": "no swap\n", "opt/zeros": bytes(1 << 20)})
    source = root if kind == "directory" else _tar(root, tmp_path / "archive")
    pages = {f"var/lib/page{page}.bin" for page in SWAP}
    if kind == "directory":  # one without a signature yet
        make_tree(root, {"opt/my pages": bytes(1 << 20), "etc/fstab": "/opt/my\\040pages x swap\n"})
        pages.add("opt/my pages")
    said = server.run("image", "import", "toy1", source).ok().out
    there = set(things(server.image("toy1")))
    assert set(things(root)) - there == pages
    assert all(f"left out: /{path}: swap" in said for path in pages)


def test_an_image_in_use_as_a_mount_point_is_not_touched(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    place = server.image("toy1") / "mnt"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)
    try:
        (place / "precious").touch()
        for verb in (["import", "toy1", root], ["remove", "toy1"], ["blandify", "toy1"]):
            done = server.run("image", *verb)
            assert done.rc == 2
            assert f"{place} is mounted" in done.err
        assert (place / "precious").exists()
    finally:
        subprocess.run(["umount", place], check=True)


def _many(root: Path, what: str, number: int = 400) -> Path:
    make_tree(root, {f"opt/f{each:03}": File(what * 50_000) for each in range(number)})
    return root


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    root, server = _many(rich_root(tmp_path / "root"), "a"), Store(tmp_path / "store")
    tree = server.part("toy1") / "tree/opt"

    def half_done() -> bool:
        return tree.is_dir() and len(os.listdir(tree)) > 50

    for _ in range(2):
        server.kill_when(half_done, "image", "import", "toy1", root)
        assert server.names() == []
        assert "unfinished: toy1" in server.run("image", "list").ok().err
    came = {each.name: each.stat().st_ino for each in tree.iterdir() if each.name[0] == "f"}
    assert 50 <= len(came) < 400
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)
    again = {name: os.lstat(server.image("toy1") / "opt" / name).st_ino for name in came}
    assert again == came, "what had come was taken, not copied again"
    assert not list(server.part("").iterdir())


def test_killed_in_the_middle_of_the_second_the_first_stands(tmp_path: Path) -> None:
    """And an attribute that changed between two attempts does not reach it."""
    root, server = _many(rich_root(tmp_path / "root"), "a"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    first = things(server.image("toy1"))
    _many(root, "b")
    tree = server.part("toy1") / "tree"
    server.kill_when((tree / "srv/owned").exists, "image", "import", "toy1", root)
    assert things(server.image("toy1")) == first
    os.chmod(root / "srv/owned", 0o600)
    server.kill_when((tree / "srv/owned").exists, "image", "import", "toy1", root)
    assert things(server.image("toy1")) == first
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)


def test_what_a_power_failure_left_is_compared_by_content(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    part = server.part("toy1")
    (part / "tree/srv").mkdir(parents=True)
    (part / "boot").write_text("another boot")
    (part / "tree/srv/owned").write_bytes(b"\0" * len("of nobody here\n"))
    os.chmod(part / "tree/srv/owned", 0o640)
    os.chown(part / "tree/srv/owned", 54321, 12345)
    st = os.stat(root / "srv/owned")
    os.utime(part / "tree/srv/owned", ns=(st.st_atime_ns, st.st_mtime_ns))
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)


def test_a_content_of_the_same_size_and_time_is_another(tmp_path: Path) -> None:
    """Reproducible builds give all their files one time."""
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    make_tree(root, {"usr/lib/ssl": File("3.0.14\n", mtime=1_700_000_000)})
    server.run("image", "import", "toy1", root).ok()
    make_tree(root, {"usr/lib/ssl": File("3.0.15\n", mtime=1_700_000_000)})
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)


def test_killed_right_after_the_switch(tmp_path: Path) -> None:
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    make_tree(server.part("toy1"), {"boot": "x", "old/etc/shadow": "the version before\n"})
    assert server.run("image", "list").ok().err == ""
    server.run("image", "import", "toy1", root).ok()
    assert things(server.image("toy1")) == things(root)
    assert not list(server.part("").iterdir())


def test_killed_between_two_renames(tmp_path: Path) -> None:
    """Where the file system has no exchange: the version before comes back."""
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    before = things(server.image("toy1"))
    server.part("toy1").mkdir()
    server.image("toy1").rename(server.part("toy1") / "old")
    assert server.run("image", "import", "toy1", tmp_path / "missing").rc == 64
    assert things(server.image("toy1")) == before


@pytest.mark.parametrize("kind", ["directory", "tar"])
def test_a_full_disk_leaves_the_image_as_it_was(tmp_path: Path, kind: str) -> None:
    root = rich_root(tmp_path / "root")
    (tmp_path / "disk").mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", tmp_path / "disk"], check=True
    )
    try:
        server = Store(tmp_path / "disk/store")
        server.run("image", "import", "toy1", root).ok()
        first = things(server.image("toy1"))
        _many(root, "c")
        source = root if kind == "directory" else _tar(root, tmp_path / "tar")
        done = server.run("image", "import", "toy1", source)
        assert done.rc == 2
        assert "is full" in done.err
        assert len(done.err.splitlines()) == 2
        assert things(server.image("toy1")) == first
        for number in range(400):
            (root / f"opt/f{number:03}").unlink()
        server.run("image", "import", "toy1", root).ok()
        assert things(server.image("toy1")) == things(root)
    finally:
        subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_two_at_once(tmp_path: Path) -> None:
    root, server = _many(rich_root(tmp_path / "root"), "a"), Store(tmp_path / "store")
    server.part("toy1").mkdir(parents=True)
    held = os.open(server.part("toy1"), os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    done = server.run("image", "import", "toy1", root)
    assert done.rc == 75
    assert "somebody else is working on image toy1" in done.err
    assert "unfinished" not in server.run("image", "list").err
    os.close(held)
    server.run("image", "import", "toy1", root).ok()


def test_no_pc_sees_what_is_being_made(tmp_path: Path) -> None:
    """By the daemon that `allie store serve` runs; files with a dot in an image are seen."""
    root, server = rich_root(tmp_path / "root"), Store(tmp_path / "store")
    server.run("image", "import", "toy1", root).ok()
    make_tree(server.part("toy2"), {"tree/etc/shadow": "half\n"})
    with ServedByAllie(server.top) as daemon:
        url = f"{daemon.url}/images"
        listed = _listed([f"{url}/"])
        assert "toy1" in listed
        assert ".parts" not in listed
        for path in (".parts/", ".parts/toy2/", ".parts/toy2/tree/etc/shadow"):
            done = subprocess.run(["rsync", f"{url}/{path}"], capture_output=True)
            assert done.returncode != 0, path
        assert ".hidden" in _listed([f"{url}/toy1/"])


def test_a_fetch_gets_the_old_image_or_the_new_one(tmp_path: Path) -> None:
    """While a PC fetches slowly, the image is replaced under its hands."""
    server = Store(tmp_path / "store")
    root = _many(toy_root(tmp_path / "root"), "a", 40)
    server.run("image", "import", "toy1", root).ok()
    with ServedByAllie(server.top) as daemon:
        argv = ["rsync", "-aHAX", "--bwlimit=1000", f"{daemon.url}/images/toy1/"]
        with subprocess.Popen([*argv, str(tmp_path / "pc")], stderr=subprocess.PIPE) as fetch:
            while not (tmp_path / "pc/opt/f003").exists():
                assert fetch.poll() is None
            _many(root, "b", 40)
            server.run("image", "import", "toy1", root).ok()
            fetch.communicate()
    there = {path.read_text()[0] for path in (tmp_path / "pc/opt").iterdir()}
    assert there == {"a"}, "never of both"
    assert fetch.returncode in (0, 23, 24)


def _listed(args: list[str]) -> str:
    return subprocess.run(["rsync", *args], capture_output=True, text=True, check=True).stdout
