"""The store's overlays: list them, check them (lint), explain a path of them (why)."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from allie.core import facts, hosts, offlimits, resolution, script, settings, system, tags
from allie.core.errors import PathRefused, SettingsError
from allie.core.facts import Facts
from allie.core.resolution import Listed, Overlay, Resolution
from allie.core.value import Value
from allie.machine import paths, tree, within

_LARGEST = 16 << 20  # bytes of a file that is read here
_OWNED_BY_ROOT = ("etc", "root", "usr", "bin", "sbin", "lib", "boot")


class Finding(Value):
    """Something in an overlay that an administrator should look at."""

    path: str  # in the store
    message: str
    is_error: bool = True


def load(store: str, name: str) -> Overlay:
    """One overlay's tree, as a list of names."""
    top = f"{store}/overlays/{name}"
    return Overlay(name, [Listed(*each) for each in tree.listing(top)])


def why(store: str, names: Sequence[str], known: Facts) -> Resolution:
    """What these overlays, laid in this order, say about a system with these facts."""
    return resolution.resolve([load(store, name) for name in names], known)


def classes_for(store: str, names: Sequence[str], known: Facts) -> tuple[str, ...]:
    """The classes of a host, from the classes file that these overlays hold for it."""
    entry = why(store, names, known).entries.get(system.CLASSES)
    text = _text(f"{store}/overlays", entry.source) if entry else None
    return facts.classes_of(known.names, facts.parse_classes(text)) if text else ()


def lint(store: str, name: str, images: Sequence[str]) -> list[Finding]:
    """Check one overlay; images: names of images that it is to be laid over."""
    overlay = load(store, name)
    findings = [found for listed in overlay.listing for found in _of_name(store, name, listed)]
    findings += _ties(overlay)
    for image in images:
        findings += _over_symlinks(store, overlay, image)
    findings += _of_settings(store, overlay)
    return findings


def _of_name(store: str, overlay: str, listed: Listed) -> list[Finding]:
    """What one name, and what stands under it, gives to say."""
    shown = f"overlays/{overlay}/{listed.spelling}"
    path, tag = tags.unspell(listed.spelling)
    findings = []
    if tag.error:
        findings.append(Finding(shown, tag.error))
    flaws = [
        (each.value, hosts.flaw(each.value)) for each in tag.conditions if each.attribute == "host"
    ]
    findings += [_pattern(shown, *each) for each in sorted(flaws) if each[1]]
    refusal = offlimits.refusal(path)
    if refusal:
        findings.append(Finding(shown, refusal))
    invisible = [each for each in os.path.basename(listed.spelling) if _is_invisible(each)]
    if invisible:
        words = ", ".join(sorted({repr(each)[1:-1] for each in invisible}))
        findings.append(Finding(shown, f"its name has what cannot be seen: {words}", False))
    st = os.lstat(f"{store}/{shown}")
    if path.partition("/")[0] in _OWNED_BY_ROOT and st.st_uid != 0:
        findings.append(
            Finding(shown, f"belongs to uid {st.st_uid}: chown 0:0 {store}/{shown}", False)
        )
    if stat.S_ISREG(st.st_mode) and st.st_mode & (stat.S_ISUID | stat.S_ISGID):
        findings.append(Finding(shown, "is setuid or setgid", False))
    if not stat.S_ISLNK(st.st_mode) and st.st_mode & stat.S_IWOTH and not st.st_mode & stat.S_ISVTX:
        findings.append(Finding(shown, "can be written by everybody", False))
    return findings + _of_script(store, shown, path, listed, st)


def _pattern(shown: str, pattern: str, flaw: str) -> Finding:
    """What is wrong with a pattern of hosts."""
    short = pattern if len(pattern) < 60 else f"{pattern[:60]}…"
    return Finding(shown, f"{short}: {flaw}", False)


def _is_invisible(letter: str) -> bool:
    """A control character, a newline, a mark that turns text around; not a byte of another set."""
    return not letter.isprintable() and not "\ud800" <= letter <= "\udfff"


def _text(overlays: str, path: str) -> str | None:
    """A file of settings in an overlay; "" of a link, which leads somewhere on the PC."""
    if os.path.islink(f"{overlays}/{path}"):
        return ""
    return within.text(overlays, path, _LARGEST)


def _of_script(
    store: str, shown: str, path: str, listed: Listed, st: os.stat_result
) -> list[Finding]:
    """Conf scripts: a name that never runs, a header that is not understood."""
    directory, _, name = path.rpartition("/")
    if directory != system.CONF or listed.is_dir or name == "run-conf":
        return []
    if not script.is_name(name):
        words = "is no name for a conf script (two digits first): it never runs"
        return [Finding(shown, words, False)]
    content = within.read(store, shown, _LARGEST) or b""
    errors = script.parse_headers(content).errors
    findings = [Finding(shown, f"not understood: {error}") for error in errors]
    if not content.startswith(b"#!") and st.st_mode & 0o111:
        findings.append(Finding(shown, "has no #! line; it is run by /bin/sh", False))
    return findings


def _ties(overlay: Overlay) -> list[Finding]:
    """Variants that tie wherever they both hold, and the same tag spelled twice."""
    by_path: dict[str, list[tuple[str, tags.Tag]]] = {}
    for listed in overlay.listing:
        path, tag = tags.unspell(listed.spelling)
        if not listed.is_dir and not tag.error:
            by_path.setdefault(path, []).append((listed.spelling, tag))
    findings = []
    for variants in by_path.values():
        for place, (spelling, tag) in enumerate(variants):
            for other, other_tag in variants[:place]:
                words = _tie(tag, other_tag)
                if words:
                    shown = f"overlays/{overlay.name}/{spelling}"
                    findings.append(Finding(shown, f"{words} {other}"))
    return findings


def _tie(one: tags.Tag, other: tags.Tag) -> str:
    """How two variants of a path tie; "" if their ranks always differ or they cannot both hold."""
    if _weight(one) != _weight(other):
        return ""
    if one.conditions == other.conditions:
        return "ties always with"
    differing = one.conditions ^ other.conditions
    if all(condition.attribute == "class" for condition in differing):
        return "ties, on hosts in both classes, with"
    patterns = any(condition.attribute in ("host", "image") for condition in differing)
    return "ties, where both patterns fit, with" if patterns and _overlap(differing) else ""


def _weight(tag: tags.Tag) -> list[int]:
    """The places of the rank that a tag's conditions count in."""
    return sorted(tags.place(condition) for condition in tag.conditions)


def _overlap(differing: frozenset[tags.Condition]) -> bool:
    """Whether two patterns can fit one host: only a glob or a range can."""
    return all(any(sign in condition.value for sign in "*?[") for condition in differing)


def _over_symlinks(store: str, overlay: Overlay, image: str) -> list[Finding]:
    """Directories where the image has a symlink: two names for one file lurk there."""
    findings = []
    reals: dict[str, str] = {}
    for listed in overlay.listing:
        path, _ = tags.unspell(listed.spelling)
        shown = f"overlays/{overlay.name}/{listed.spelling}"
        target = _link(f"{store}/images/{image}", path) if listed.is_dir else ""
        if target:
            words = f"is a symlink to {target} in image {image}: files land there"
            findings.append(Finding(shown, words, False))
            reals[path] = os.path.normpath(os.path.join(os.path.dirname(path), target)).lstrip("/")
    names = {tags.unspell(listed.spelling)[0] for listed in overlay.listing if not listed.is_dir}
    for link, real in reals.items():
        for path in sorted(names):
            twin = f"{real}/{path[len(link) + 1 :]}"
            if path.startswith(link + "/") and twin in names:
                shown = f"overlays/{overlay.name}/{path}"
                findings.append(Finding(shown, f"is the same file as {twin} in image {image}"))
    return findings


def _link(image: str, path: str) -> str:
    """Where a path of an image leads if it is a symlink there; "" if it is none."""
    try:
        with paths.parent_descriptor(image, paths.Inside(image).entry(path)) as (above, name):
            return os.readlink(name, dir_fd=above)
    except (PathRefused, OSError):
        return ""


def _of_settings(store: str, overlay: Overlay) -> list[Finding]:
    """allie.conf and classes, in every variant: can a PC read them?"""
    findings = []
    for listed in overlay.listing:
        path, _ = tags.unspell(listed.spelling)
        shown = f"overlays/{overlay.name}/{listed.spelling}"
        if listed.is_dir or path not in (system.SETTINGS, system.CLASSES):
            continue
        text = _text(f"{store}/overlays", f"{overlay.name}/{listed.spelling}")
        if text is None:
            findings.append(Finding(shown, "is no file, or a very large one: no PC reads it"))
            continue
        try:
            if path == system.CLASSES:
                members = [each for row in facts.parse_classes(text).values() for each in row]
                flaws = [(each, hosts.flaw(each)) for each in dict.fromkeys(members)]
                findings += [_pattern(shown, *each) for each in flaws if each[1]]
                continue
            unknown = settings.unknown_keys(text)
            findings += [Finding(shown, f"{key} is not known", False) for key in unknown]
        except SettingsError as error:
            findings.append(Finding(shown, str(error)))
    return findings
