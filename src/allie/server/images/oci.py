"""Find one image in a container archive, and lay it out as umoci takes it.

Two forms are read: an OCI layout (skopeo, buildx, `docker save` since 25), whose index may hold
further indexes, several architectures, and attestations beside the images; and a docker-archive
(`docker save` before 25, podman). What is written is a layout of one image, of links to the blobs.
What umoci does not know is put in its words: docker's media types, and layers packed by zstd.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from allie.core import digest as digests
from allie.core.errors import PathRefused, StoreError, UsageError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.machine.programs import process
from allie.machine.roots import paths, within

CHOSEN = "chosen"  # the tag of the one image
_TAG = "org.opencontainers.image.ref.name"  # image-spec, annotations
_NAME = "io.containerd.image.name"  # with its repository, from docker
_NOTE = "vnd.docker.reference.type"  # on what is no image, but about one
_ABOUT = re.compile(r"sha256-[0-9a-f]{64}\.(sig|att|sbom)")  # cosign's tags
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}  # by how a file begins
_BLOBS = "blobs/sha256/"
_LARGEST = 16 << 20  # bytes of an index, a manifest or a configuration
_MOST = 1000  # manifests, and indexes in one another
_ARCHES = {  # uname(2)'s names, as the image specification (Go) has them
    "x86_64": "amd64",
    "i386": "386",
    "i686": "386",
    "aarch64": "arm64",
    "armv7l": "arm/v7",
    "armv6l": "arm/v6",
    "loongarch64": "loong64",
}


class _Missing(ValueError):
    """A file of the archive is not there."""


class Wanted(Value):
    """Which image of an archive."""

    tag: str = ""  # or its whole name, with the repository
    arch: str = ""  # "": this machine's, where there are several


class Found(Value):
    """An image in an archive. Files are real paths below the archive's top."""

    names: tuple[str, ...]  # its tag, and its whole name where that is known
    arch: str  # as the specification has it, with a variant: arm/v7
    config: str
    layers: tuple[str, ...]


def is_layout(top: str) -> bool:
    """Whether a directory is an OCI image layout."""
    return all(within.is_file(top, each) for each in ("oci-layout", "index.json"))


def is_docker(top: str) -> bool:
    """Whether a directory is what a docker-archive unpacks to."""
    try:
        value = json.loads(within.text(top, "manifest.json", _LARGEST) or "")
        return bool(value) and all({"Config", "Layers"} <= set(each) for each in value)
    except (ValueError, TypeError):
        return False


def lay_out(top: str, wanted: Wanted, ours: str, shown: str) -> None:
    """Make the layout `ours` of the one image in `top` that is wanted.

    Raises UsageError where there is none, or several; StoreError where it cannot be read.
    """
    kind = "an OCI layout" if is_layout(top) else "a docker-archive"
    try:
        there = list(_in_layout(top) if is_layout(top) else _in_docker(top))
    except (KeyError, TypeError, ValueError, AttributeError, PathRefused) as error:
        words = f"{shown} is {kind} that cannot be read: {error}"
        raise StoreError(words, "make it anew: skopeo copy … oci-archive:FILE") from error
    image = choose(there, wanted, os.uname().machine, shown)
    blobs = f"{ours}/blobs/sha256"
    os.makedirs(blobs)
    layers = [_layer(top, path, blobs, shown) for path in image.layers]
    config = _link(top, image.config, blobs, _CONFIG)
    manifest = json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode()
    digest = digests.of(manifest)
    atomic.write(f"{blobs}/{digest}", manifest.decode(), durable=False)
    entry = {**_described(digest, len(manifest), _MANIFEST), "annotations": {_TAG: CHOSEN}}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]})
    atomic.write(f"{ours}/oci-layout", '{"imageLayoutVersion": "1.0.0"}', durable=False)
    atomic.write(f"{ours}/index.json", index, durable=False)


def choose(there: Sequence[Found], wanted: Wanted, machine: str, shown: str) -> Found:
    """The one that is wanted. Raises UsageError where it is none, or several.

    machine: this machine's architecture, for where several images differ by it alone.
    """
    fitting = [each for each in there if not wanted.tag or wanted.tag in each.names]
    tags = ", ".join(sorted({each.names[-1] for each in there if each.names})) or "without tags"
    if not there:
        raise UsageError(f"{shown} has no image of a Linux")
    if not fitting:
        raise UsageError(f"{shown} has no image {wanted.tag}: {tags}", "name one with --tag")
    # One image may have several tags
    fitting = list({(each.config, each.layers): each for each in fitting}.values())
    if len({each.names for each in fitting}) > 1:
        raise UsageError(f"{shown} has {len(fitting)} images: {tags}", "name one with --tag")
    arches = ", ".join(sorted({each.arch or "unknown" for each in fitting}))
    if wanted.arch or len(fitting) > 1:
        arch = _go(wanted.arch or machine)
        fitting = _of_arch(fitting, arch)
        if not fitting:
            raise UsageError(
                f"{shown} has no image for {arch}: it has {arches}", "--arch names one"
            )
    if len(fitting) > 1:
        raise UsageError(f"{shown} has {len(fitting)} images for {arches}", "--arch names one")
    return fitting[0]


def _go(arch: str) -> str:
    """An architecture as the specification names it, from either way to name one."""
    return _ARCHES.get(arch, arch).replace("arm64/v8", "arm64")


def _of_arch(images: Sequence[Found], arch: str) -> list[Found]:
    """Those for an architecture, else those for the next older one that it runs (arm/v7: v6)."""
    name, _, variant = arch.partition("/v")
    newest = int(variant) if variant.isdigit() else 0
    for each in (arch, *(f"{name}/v{number}" for number in range(newest - 1, 0, -1)), name):
        found = [image for image in images if _go(image.arch) == each]
        if found:
            return found
    return [image for image in images if image.arch.partition("/")[0] == arch]


def _in_layout(top: str) -> Iterator[Found]:
    """The images of an OCI layout. Of other machines' images docker may save the index alone."""
    found: list[Found] = []
    missing: list[_Missing] = []
    places = _listed(_json(top, "index.json"), ())
    for path, names in places:  # which grow with each index among them
        try:
            value = _json(top, path)
            if "manifests" in value:
                places += [each for each in _listed(value, names) if each not in places]
            else:
                found += _image(top, value, names)
        except _Missing as error:
            missing.append(error)
        if len(places) > _MOST:
            raise ValueError(f"more than {_MOST} manifests")
    if missing and not found:
        raise missing[0]
    yield from found


def _image(top: str, manifest: dict[str, Any], names: tuple[str, ...]) -> list[Found]:
    """The image of a manifest; [] where it is another system's, or none: a signature, a chart."""
    if "layers" not in manifest:
        raise ValueError("a manifest without layers, of an early version of docker")
    config = _json(top, _blob(manifest["config"]))
    if config.get("os", "linux") != "linux" or not (config.get("rootfs") or {}).get("diff_ids"):
        return []
    layers = tuple(_real(top, _blob(each)) for each in manifest["layers"])
    return [Found(names, _arch(config), _real(top, _blob(manifest["config"])), layers)]


def _listed(index: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """The manifests and indexes of an index, as (file, names); they may have names of their own."""
    found = []
    for entry in index["manifests"]:
        notes = entry.get("annotations") or {}
        platform = entry.get("platform") or {}
        own = tuple(str(notes[each]) for each in (_TAG, _NAME) if notes.get(each)) or names
        is_note = notes.get(_NOTE) or entry.get("artifactType") or platform.get("os") == "unknown"
        if not is_note and not (own and _ABOUT.fullmatch(own[0])):
            found.append((_blob(entry), own))
    return found


def _in_docker(top: str) -> Iterator[Found]:
    """The images of a docker-archive."""
    for entry in _json(top, "manifest.json"):
        config = _real(top, entry["Config"])
        layers = tuple(_real(top, each) for each in entry["Layers"])
        tags = [str(each) for each in entry.get("RepoTags") or ()]
        names = tuple(dict.fromkeys([each.rpartition(":")[2] for each in tags] + tags))
        yield Found(names, _arch(_json(top, config)), config, layers)


def _arch(config: dict[str, Any]) -> str:
    arch, variant = (str(config.get(each) or "") for each in ("architecture", "variant"))
    return f"{arch}/{variant}" if variant else arch


def _json(top: str, path: str) -> Any:
    text = within.text(top, path, _LARGEST)
    if text is None:
        raise _Missing(f"{path} is not there, or is no file")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON") from error


def _blob(entry: dict[str, Any]) -> str:
    """The file of a blob, by its digest."""
    digest = str(entry["digest"])
    if not re.fullmatch(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})", digest):
        raise ValueError(f"{digest} is no digest")
    return "blobs/" + digest.replace(":", "/")


def _real(top: str, path: str) -> str:
    """Where a file of the archive really is. Raises ValueError where there is none."""
    if not within.is_file(top, path):
        raise _Missing(f"{path} is not there, or is no file")
    return paths.Inside(top).file(path)


def _layer(top: str, path: str, blobs: str, shown: str) -> dict[str, Any]:
    """Have a layer among the blobs, by what it is packed with."""
    with within.opened(top, path) as descriptor:
        begins = os.read(descriptor, 4)
    packed = next((kind for sign, kind in _PACKED.items() if begins.startswith(sign)), "")
    if packed != "zstd":
        return _link(top, path, blobs, f"{_LAYER}+{packed}".rstrip("+"))
    if not process.has_program("zstd"):
        raise StoreError(f"{shown} is packed by zstd, which is not installed", "install zstd")
    plain = f"{blobs}/unpacking"
    process.run(["zstd", "-dqf", "-o", plain, "--", f"{top}/{path}"], check=True)
    digest = _digest(plain)
    os.rename(plain, f"{blobs}/{digest}")
    return _described(digest, os.path.getsize(f"{blobs}/{digest}"), _LAYER)


def _link(top: str, path: str, blobs: str, kind: str) -> dict[str, Any]:
    """Have a file of the archive among the blobs, by its digest, which umoci compares."""
    digest = path[len(_BLOBS) :] if path.startswith(_BLOBS) else _digest(f"{top}/{path}")
    if not os.path.lexists(f"{blobs}/{digest}"):
        os.symlink(f"{top}/{path}", f"{blobs}/{digest}")
    return _described(digest, os.path.getsize(f"{top}/{path}"), kind)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return digests.of_pieces(iter(lambda: file.read(1 << 20), b""))


def _described(digest: str, size: int, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}
