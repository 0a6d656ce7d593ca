"""An OCI image of busybox, made by hand as the specification says: two layers; of several tags.

oci_layout(top)                 a layout with one image, tagged `latest`
oci_layout(top, ("a", "b"))     two images
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_TAG = "org.opencontainers.image.ref.name"


def oci_layout(top: Path, root: Path, tags: tuple[str, ...] = ("latest",)) -> Path:
    """A layout at `top`: the files of `root`, then a layer that changes and removes some."""
    (top / "blobs/sha256").mkdir(parents=True)
    (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    manifests = []
    for tag in tags:
        manifest = _image(top, [_of_root(root), _second(tag)])
        manifests.append({**manifest, "annotations": {_TAG: tag}} if tag else manifest)
    index = {"schemaVersion": 2, "manifests": manifests}
    (top / "index.json").write_text(json.dumps(index))
    return top


def archived(layout: Path, archive: Path) -> Path:
    """The layout as one tar, as `skopeo copy … oci-archive:` and `docker save` make it."""
    with tarfile.open(archive, "w") as file:
        for path in sorted(layout.iterdir()):
            file.add(path, path.name)
    return archive


def _of_root(root: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as file:
        file.add(root, ".")
    return packed.getvalue()


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


def _image(top: Path, layers: list[bytes]) -> dict[str, Any]:
    described = [_blob(top, gzip.compress(layer, mtime=0), _LAYER) for layer in layers]
    config = {
        "architecture": "amd64",
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
