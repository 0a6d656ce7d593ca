"""Images that programs make: umoci from OCI layouts and archives, mmdebstrap from packages."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.images.site import Store, rich_root, things
from tests.worlds.debian import UnavailableError, apt_sources
from tests.worlds.oci import (
    archived,
    docker_archive,
    in_docker_words,
    nested,
    oci_layout,
    packed_by_zstd,
)
from tests.worlds.toy import Link, Tree, make_tree, toy_root

pytestmark = [pytest.mark.root, pytest.mark.real]
DOCKERS = '[{"Config": "c.json", "Layers": [], "RepoTags": ["x:latest"]}]'
DOCKER: Tree = {"manifest.json": DOCKERS}
OCI: Tree = {"oci-layout": "{}"}
INDEX = '{"manifests": [{"digest": "../../x"}]}'
needs_umoci = pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci")


@needs_umoci
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("tag", ["latest", ""])
def test_an_oci_image_is_its_layers_applied(tmp_path: Path, packed: bool, tag: str) -> None:
    root = rich_root(tmp_path / "root", {"etc/motd": "goes\n"})
    # what no layer carries
    for name in ("srv/acl", "srv/tagged", "srv/sparse", "srv/sticky"):
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    server = Store(tmp_path / "store")
    source = oci_layout(tmp_path / "layout", root, (tag,))
    if packed:
        source = archived(source, tmp_path / "archive")
    server.run("image", "import", "oci1", source).ok()
    there = things(server.image("oci1"), whole_seconds=True)
    assert (server.image("oci1") / "etc/layer").read_text() == f"of {tag}\n"
    (root / "etc/motd").unlink()
    shutil.copy2(server.image("oci1") / "etc/layer", root / "etc/layer")
    assert there == things(root, whole_seconds=True)
    assert not list(server.part("").iterdir())


@needs_umoci
def test_of_several_images_one_is_named(tmp_path: Path) -> None:
    root = rich_root(tmp_path / "root")
    server = Store(tmp_path / "store")
    layout = oci_layout(tmp_path / "layout", root, ("stable", "testing"))
    done = server.run("image", "import", "oci1", layout)
    assert done.rc == 64
    assert "stable, testing" in done.err
    assert "--tag" in done.err
    assert "has no image old" in server.run("image", "import", "oci1", layout, "--tag", "old").err
    assert server.names() == []
    server.run("image", "import", "oci1", layout, "--tag", "testing").ok()
    assert (server.image("oci1") / "etc/layer").read_text() == "of testing\n"


@needs_umoci
@pytest.mark.parametrize("kind", ["plain", "nested", "docker's words", "zstd", "docker-archive"])
def test_every_form_of_a_containers_image(tmp_path: Path, kind: str) -> None:
    """Of two architectures; as directory and as tar. Names have colons, as times have."""
    server = Store(tmp_path / "store:1")
    root = toy_root(tmp_path / "root", {"etc/motd": "goes\n"})
    source = oci_layout(tmp_path / "layout", root, arches=("amd64", "riscv64"))
    if kind == "nested":
        nested(source)
    elif kind == "docker's words":
        in_docker_words(source)
    elif kind == "zstd":
        packed_by_zstd(source)
    elif kind == "docker-archive":
        docker_archive(source, tmp_path / "archive")
        source = tmp_path / "archive"
    packed = archived(source, tmp_path / "2024-05-01T12:30.tar")
    for place, name in ((source, "a"), (packed, "b")):
        done = server.run("image", "import", name, place, "--arch", "x86_64")
        assert done.rc == 0, done.err
        server.run("image", "import", name, place, "--arch", "riscv64", "--tag", "latest").ok()
        image = server.image(name)
        assert (image / "etc/layer").read_text() == "of latest for riscv64\n"
        assert not (image / "etc/motd").exists()
        done = server.run("image", "import", "c", place, "--arch", "s390x")
        assert done.rc == 64
        assert "has no image for s390x: it has amd64, riscv64" in done.err
        assert not list(server.part("").iterdir())


@needs_umoci
@pytest.mark.parametrize("deep", [False, True])
def test_of_other_machines_docker_may_save_the_index_alone(tmp_path: Path, deep: bool) -> None:
    server = Store(tmp_path / "store")
    source = oci_layout(tmp_path / "layout", toy_root(tmp_path / "root"), arches=("amd64", "arm64"))
    of_arm = json.loads((source / "index.json").read_text())["manifests"][1]["digest"]
    if deep:
        nested(source)
    (source / "blobs/sha256" / of_arm[7:]).unlink()
    server.run("image", "import", "a", source).ok()
    assert (server.image("a") / "etc/layer").read_text() == "of latest for amd64\n"


@pytest.mark.parametrize(
    ("words", "broken"),
    [
        ("docker-archive that cannot be read: c.json", DOCKER),
        ("docker-archive that cannot be read: c.json", {**DOCKER, "c.json": Link("/etc/passwd")}),
        ("OCI layout that cannot be read: index.json", {**OCI, "index.json": "{"}),
        ("OCI layout that cannot be read: ../../x is no digest", {**OCI, "index.json": INDEX}),
        ("OCI layout that cannot be read", {**OCI, "index.json": "[" * 100_000}),
    ],
)
@needs_umoci
def test_an_archive_that_cannot_be_read_is_called_by_its_name(
    tmp_path: Path, words: str, broken: Tree
) -> None:
    server = Store(tmp_path / "store")
    make_tree(tmp_path / "broken", broken)
    done = server.run("image", "import", "x1", tmp_path / "broken")
    assert done.rc == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not list(server.part("").iterdir())


@needs_umoci
def test_a_damaged_oci_image_leaves_nothing(tmp_path: Path) -> None:
    root = rich_root(tmp_path / "root")
    server = Store(tmp_path / "store")
    layout = oci_layout(tmp_path / "layout", root)
    largest = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-2000] + b"\0" * 2000)
    done = server.run("image", "import", "oci1", layout)
    assert done.rc == 2, done
    assert "Traceback" not in done.err
    assert server.names() == []
    assert not list(server.part("").iterdir())
    make_tree(layout, {"index.json": "{"})
    assert "index.json" in server.run("image", "import", "oci1", layout).err


def test_without_umoci_it_says_what_to_install(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    layout = tmp_path / "layout"
    make_tree(layout, {"oci-layout": '{"imageLayoutVersion":"1.0.0"}', "index.json": "{}"})
    done = server.run("image", "import", "x1", layout, env={"ALLIE_PATH": "/nowhere"})
    assert done.rc == 2
    assert "install the package umoci" in done.err
    assert not list(server.part("").iterdir())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_packages_make_an_image_that_does_not_know_the_server(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    try:
        sources = tmp_path / "apt.sources"
        sources.write_text(apt_sources("trixie"))
    except UnavailableError as error:
        pytest.skip(str(error))
    options = ["--variant", "essential", "--mirror", str(sources)]
    server.run("image", "import", "deb13", "mmdebstrap:trixie", *options).ok()
    (row,) = server.run("image", "list", "--json").ok().json
    assert (row["distro"], row["release"]) == ("debian", "13")
    assert server.run("image", "blandify", "deb13", "--check").ok().out == ""
    for name in ("etc/hostname", "etc/resolv.conf"):
        assert not os.path.lexists(server.image("deb13") / name)


def test_a_suite_that_does_not_exist(tmp_path: Path) -> None:
    server = Store(tmp_path / "store")
    options = ["--mirror", f"deb [trusted=yes] copy:{tmp_path}/nowhere ./"]
    done = server.run("image", "import", "x1", "mmdebstrap:nosuch", *options)
    assert done.rc == 2, done
    assert "allie: mmdebstrap:nosuch: Failed to fetch copy:" in done.err
    assert f"{tmp_path}/nowhere" in done.err.splitlines()[0]
    assert server.names() == []
    assert not list(server.part("").iterdir())
