"""An OCI image of busybox, made by hand as the specification says: two layers; of several tags.

oci_layout(top)                 a layout with one image, tagged `latest`
oci_layout(top, ("a", "b"))     two images
nested(layout)                  the same, in an index in its index, with an attestation for each
in_docker_words(layout)         the same, with docker's media types
packed_by_zstd(layout)          the same, its layers packed otherwise
docker_archive(layout, top)     what `docker save` made of it before version 25
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_TAG = "org.opencontainers.image.ref.name"


def oci_layout(
    top: Path, root: Path, tags: tuple[str, ...] = ("latest",), arches: tuple[str, ...] = ("amd64",)
) -> Path:
    """A layout at `top`: the files of `root`, then a layer that changes and removes some.

    arches: of one tag, an image for each; the changed file names it.
    """
    (top / "blobs/sha256").mkdir(parents=True)
    (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    manifests = []
    for tag, arch in ((tag, arch) for tag in tags for arch in arches):
        words = f"{tag} for {arch}" if arches[1:] else tag
        manifest = _image(top, [_of_root(root), _second(words)], arch)
        manifests.append({**manifest, "annotations": {_TAG: tag}} if tag else manifest)
    index = {"schemaVersion": 2, "manifests": manifests}
    (top / "index.json").write_text(json.dumps(index))
    return top


def nested(layout: Path) -> None:
    """As buildx writes it: the index names an index, and that another; with attestations, too."""
    index = json.loads((layout / "index.json").read_text())
    tag = index["manifests"][0]["annotations"][_TAG]
    inner = []
    for each in index["manifests"]:
        note = {**_blob(layout, b"{}", "application/vnd.in-toto+json")}
        config = _json(layout, {"os": "unknown"}, "application/vnd.oci.image.config.v1+json")
        about = _json(layout, {"config": config, "layers": [note]}, each["mediaType"])
        notes = {"vnd.docker.reference.type": "attestation-manifest"}
        platform = {"architecture": "unknown", "os": "unknown"}
        inner += [{key: each[key] for key in ("mediaType", "digest", "size")}]
        inner += [{**about, "platform": platform, "annotations": notes}]
    kind = "application/vnd.oci.image.index.v1+json"
    within = _json(layout, {"manifests": inner}, kind)
    del within["mediaType"]  # some leave it out, and it says itself what it is
    named = {**_json(layout, {"manifests": [within]}, kind), "annotations": {_TAG: tag}}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))


def in_docker_words(layout: Path) -> None:
    """As docker keeps in its own store what it had from a registry."""

    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
        for each in manifest["layers"]:
            each["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        return manifest

    _change(layout, change, "application/vnd.docker.distribution.manifest.v2+json")


def packed_by_zstd(layout: Path) -> None:
    """Its layers are packed by zstd."""

    def change(manifest: dict[str, Any]) -> dict[str, Any]:
        for number, each in enumerate(manifest["layers"]):
            packed = (layout / "blobs/sha256" / each["digest"][7:]).read_bytes()
            plain = gzip.decompress(packed)
            done = subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True)
            kind = _LAYER.replace("gzip", "zstd")
            manifest["layers"][number] = _blob(layout, done.stdout, kind)
        return manifest

    _change(layout, change, "application/vnd.oci.image.manifest.v1+json")


def docker_archive(layout: Path, top: Path) -> None:
    """manifest.json, and a directory for each layer; what is the same twice is a symlink."""
    top.mkdir()
    entries = []
    for entry in json.loads((layout / "index.json").read_text())["manifests"]:
        manifest = json.loads((layout / "blobs/sha256" / entry["digest"][7:]).read_text())
        config = manifest["config"]["digest"][7:]
        (top / f"{config}.json").write_bytes((layout / "blobs/sha256" / config).read_bytes())
        layers = []
        for number, each in enumerate(manifest["layers"]):
            plain = gzip.decompress((layout / "blobs/sha256" / each["digest"][7:]).read_bytes())
            (top / f"{config}-{number}").mkdir()
            (top / f"{number}-of-{config}.tar").write_bytes(plain)
            layers.append(f"{config}-{number}/layer.tar")
            (top / layers[-1]).symlink_to(f"../{number}-of-{config}.tar")
        tag = entry["annotations"][_TAG]
        entries.append({"Config": f"{config}.json", "RepoTags": [f"x:{tag}"], "Layers": layers})
    (top / "manifest.json").write_text(json.dumps(entries))


def _change(layout: Path, change: Callable[[dict[str, Any]], dict[str, Any]], kind: str) -> None:
    index = json.loads((layout / "index.json").read_text())
    for entry in index["manifests"]:
        old = layout / "blobs/sha256" / entry["digest"][7:]
        entry.update(_json(layout, change(json.loads(old.read_text())), kind))
        old.unlink()
    (layout / "index.json").write_text(json.dumps(index))


def archived(layout: Path, archive: Path) -> Path:
    """The layout as one tar, as `skopeo copy … oci-archive:` and `docker save` make it."""
    with tarfile.open(archive, "w") as file:
        for path in sorted(layout.iterdir()):
            file.add(path, path.name)
    return archive


def _of_root(root: Path) -> bytes:
    keep = ["--numeric-owner", "--xattrs", "--xattrs-include=security.capability"]
    argv = ["tar", "-c", "--format=posix", *keep, "-C", str(root), "."]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout


def _second(tag: str) -> bytes:
    """The upper layer: one file is new, one is gone (a whiteout)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        for name, body in (("etc/layer", f"of {tag}\n".encode()), ("etc/.wh.motd", b"")):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            info.mode = 0o644
            file.addfile(info, io.BytesIO(body))
    return packed.getvalue()


def _image(top: Path, layers: list[bytes], arch: str = "amd64") -> dict[str, Any]:
    described = [_blob(top, gzip.compress(layer, mtime=0), _LAYER) for layer in layers]
    config = {
        "architecture": arch.partition("/")[0],
        "variant": arch.partition("/")[2],
        "os": "linux",
        "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers],
        },
    }
    manifest = {
        "schemaVersion": 2,
        "config": _json(top, config, "application/vnd.oci.image.config.v1+json"),
        "layers": described,
    }
    return _json(top, manifest, "application/vnd.oci.image.manifest.v1+json")


def _json(top: Path, value: dict[str, Any], kind: str) -> dict[str, Any]:
    return _blob(top, json.dumps(value).encode(), kind)


def _blob(top: Path, body: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    (top / "blobs/sha256" / digest).write_bytes(body)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(body)}
