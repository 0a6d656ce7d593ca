"""Check overlays before any PC comes: what a PC would refuse, and what can never match.

    names and files of an overlay → findings

What a PC reads is read here by the same parsers (`core.tags`, `core.hosts`, `core.script`, and, in
`server.lint_settings`, `core.conf.settings` and `core.facts`): what is fine here is taken there.
"""

from __future__ import annotations

import itertools
import os
import re
import stat
from collections.abc import Sequence

from allie.core import forbidden_paths, globs, hosts, stubs, system, tags
from allie.core import script as rules
from allie.core.change import leavings, resolution
from allie.core.change.resolution import Listed, Overlay
from allie.core.errors import PathRefused, did_you_mean
from allie.machine.roots import paths, within
from allie.server import lint_secrets, lint_settings, overlays
from allie.server.lint_settings import Finding, Site

_OWNED_BY_ROOT = ("etc", "root", "usr", "bin", "sbin", "lib", "boot")
_FOR_ALL = ("usr", "bin", "sbin", "lib", "lib64")  # nothing in there is a secret
_OPEN = (
    "etc etc/allie etc/profile.d etc/ssl etc/ssl/certs usr usr/bin usr/lib usr/local usr/share"
    " var var/lib srv opt home etc/hosts etc/resolv.conf etc/nsswitch.conf etc/passwd etc/group"
    " etc/profile etc/environment etc/os-release etc/localtime etc/services"
).split()
_MEANT_AS_HEADER = re.compile(
    rb"^[ \t]*(?:#+|//|;|--)[ \t]*allie[ \t]*[:;=-]?[ \t]*(?:every|on-change|timeout|needs)\b.*$",
    re.M | re.I,
)


def lint(store: str, name: str, images: Sequence[str], site: Site | None = None) -> list[Finding]:
    """Check one overlay; images: names of images that it is to be laid over."""
    site = site or lint_settings.survey(store)
    where = overlays.place(name)
    overlay, left = overlays.sort(store, where)
    findings = [_of_leaving(where, path) for path in left if not _lies_in_one(path)]
    findings += [found for each in overlay.listing for found in _of_name(store, where, each, site)]
    if name != where:  # what is one host's own may hold any
        findings += lint_secrets.of_overlay(store, overlay)
    findings += _of_size(overlay) + _kinds(overlay) + _ties(overlay) + _shut(store, overlay)
    for image in images:
        findings += _over_symlinks(store, overlay, image)
    return findings + lint_settings.of_overlay(store, overlay, site)


def _lies_in_one(path: str) -> bool:
    """Whether a directory above a path is left out already."""
    return bool(leavings.pattern_of(path.rpartition("/")[0]))


def _of_leaving(where: str, path: str) -> Finding:
    words = f"is not placed: names like {leavings.pattern_of(path)} are left by tools"
    return Finding(f"{where}/{path}", words, False)


def _of_name(store: str, where: str, listed: Listed, site: Site) -> list[Finding]:
    """What one name, and what stands under it, gives to say."""
    shown = f"{where}/{listed.spelling}"
    path, tag = tags.unspell(listed.spelling)
    st = os.lstat(f"{store}/{shown}")
    errors = [_with_the_nearest(tag.error), forbidden_paths.refusal(path)]
    errors.append(_why_never(path, listed, tag))
    findings = [Finding(shown, words) for words in errors if words]
    warnings = [tags.flaw(tag), _unknown_class(tag, site), _of_ours(where, listed, path, site)]
    invisible = [each for each in os.path.basename(listed.spelling) if _is_invisible(each)]
    if invisible:
        words = ", ".join(sorted({repr(each)[1:-1] for each in invisible}))
        warnings.append(f"its name has what cannot be seen: {words}")
    warnings += _of_status(path, st, f"{store}/{shown}")
    findings += [Finding(shown, words, False) for words in warnings if words]
    return findings + _of_script(store, shown, path, st)


def _with_the_nearest(error: str) -> str:
    """What is wrong with a tag, and which attribute was probably meant."""
    unknown = re.fullmatch("unknown attribute '(.*)'", error)
    meant = did_you_mean(unknown[1][:80], tags.ATTRIBUTES) if unknown else ""
    return f"{error}; {meant}" if meant else error


def _why_never(path: str, listed: Listed, tag: tags.Tag) -> str:
    """Why a path can never be as the overlay has it; "" if it can."""
    if tag.flag == "absent" and forbidden_paths.is_vital(path):
        return forbidden_paths.NOT_ABSENT
    return forbidden_paths.wrong_kind(path, listed.is_dir)


def _unknown_class(tag: tags.Tag, site: Site) -> str:
    wanted = {each.value for each in tag.conditions if each.attribute == "class"}
    unknown = ", ".join(sorted(wanted - site.classes))
    return f"no etc/allie/classes of the store has the class {unknown}" if unknown else ""


def _of_ours(where: str, listed: Listed, path: str, site: Site) -> str:
    """What is said of the files that ALLiE itself has in overlays."""
    name = os.path.basename(path)
    if listed.spelling == resolution.CONSENT:
        return "nothing guards this overlay while it is there: remove it once all PCs have come"
    if name in (resolution.CONSENT, resolution.LARGE) and path != name:
        return f"means something only as {where}/{name}"
    is_kits = path in site.kit and path != system.SETTINGS and not listed.is_dir
    if is_kits and where != overlays.place(stubs.KIT):
        return "is ALLiE's own file, of the overlay kit: this one takes its place"
    return ""


def _of_status(path: str, st: os.stat_result, at: str) -> list[str]:
    """What owner and mode give to say."""
    found = []
    top = path.partition("/")[0]
    if top in _OWNED_BY_ROOT and st.st_uid != 0:
        found.append(f"belongs to uid {st.st_uid}: chown 0:0 {at}")
    if stat.S_ISREG(st.st_mode) and st.st_mode & (stat.S_ISUID | stat.S_ISGID):
        found.append("is setuid or setgid")
    if not stat.S_ISLNK(st.st_mode) and st.st_mode & stat.S_IWOTH and not st.st_mode & stat.S_ISVTX:
        found.append("can be written by everybody")
    is_for_all = top in _FOR_ALL or path in _OPEN
    if is_for_all and stat.S_ISREG(st.st_mode) and not st.st_mode & 0o055:
        found.append(f"root alone can read it: chmod a+rX {at}")
    if path in _OPEN and stat.S_ISDIR(st.st_mode) and not st.st_mode & 0o001:
        found.append(f"root alone can pass it: chmod a+rx {at}")
    return found


def _of_script(store: str, shown: str, path: str, st: os.stat_result) -> list[Finding]:
    """Conf scripts: a name that never runs, a header or first line that is not understood."""
    directory, _, name = path.rpartition("/")
    if directory != system.CONF or name == "run-conf":
        return []
    if not stat.S_ISREG(st.st_mode) and not stat.S_ISLNK(st.st_mode):
        is_script = rules.is_name(name)
        return [Finding(shown, "is no file: no script of this name runs")] if is_script else []
    if not rules.is_name(name):
        words = "is no name for a conf script (two digits first): it never runs"
        return [Finding(shown, words, False)]
    content = within.read(store, shown, overlays.LARGEST) or b""
    headers = rules.parse_headers(content)
    findings = [Finding(shown, f"not understood: {error}") for error in headers.errors]
    findings += [Finding(shown, words) for words in _of_first_line(content)]
    for pattern in headers.on_change:
        fixed = re.split(r"[*?[]", pattern)[0].lstrip("/")
        words = forbidden_paths.refusal(fixed) if fixed else ""
        odd = re.search(r"##|\[[^]]*$|[{}$'\"]", pattern)
        words = words or (f"{odd[0]} stands for itself" if odd else "")
        if words:
            findings.append(Finding(shown, f"on-change {pattern} never comes: {words}", False))
    for line in rules.unread_headers(content, _MEANT_AS_HEADER):
        findings.append(Finding(shown, f"is no header, and not read: {line}", False))
    if content and not content.startswith((b"#!", b"\x7fELF")) and st.st_mode & 0o111:
        findings.append(Finding(shown, "has no #! line; it is run by /bin/sh", False))
    return findings


def _of_first_line(content: bytes) -> list[str]:
    """Why the kernel cannot start a script."""
    first = content.partition(b"\n")[0]
    if content.startswith(b"\xef\xbb\xbf"):
        return ["begins with a BOM: the kernel sees no #! line"]
    if first.startswith(b"#!") and first.endswith(b"\r"):
        return ["its lines end as in DOS (CRLF): there is no such interpreter. sed -i 's/\\r$//'"]
    if first.startswith(b"#!") and not first[2:].strip().startswith(b"/"):
        return ["its #! line names no absolute path"]
    return ["its lines end as in DOS (CRLF)"] if b"\r\n" in content else []


def _of_size(overlay: Overlay) -> list[Finding]:
    """More names than a PC takes, or takes unless it is meant."""
    count = len(overlay.listing)
    shown = f"{overlay.name}"
    if count > resolution.MOST_NAMES:
        return [Finding(shown, f"has {count} names: no PC takes more than {resolution.MOST_NAMES}")]
    if count > resolution.MANY_NAMES and Listed(resolution.LARGE, False) not in overlay.listing:
        return [Finding(shown, f"has {count} names: if it is meant: touch {resolution.LARGE}")]
    return []


def _kinds(overlay: Overlay) -> list[Finding]:
    """Paths that are a directory in one variant, and a file in another: PCs place neither."""
    first: dict[str, Listed] = {}
    findings = []
    for listed in overlay.listing:
        path, tag = tags.unspell(listed.spelling)
        if tag.flag == "absent":
            continue
        other = first.setdefault(path, listed)
        if other.is_dir != listed.is_dir:
            words = f"is a directory and a file in one overlay: {other.spelling}"
            findings.append(Finding(f"{overlay.name}/{listed.spelling}", words))
    return findings


def _shut(store: str, overlay: Overlay) -> list[Finding]:
    """Directories that root alone can pass, though something in them is for all to read."""
    found: dict[str, str] = {}
    modes = {"": 0o755}
    for spelling, _ in overlay.listing:  # parents come before children
        mode = os.lstat(f"{store}/{overlay.name}/{spelling}").st_mode
        modes[spelling] = mode
        above = spelling.rpartition("/")[0]
        is_for_all = stat.S_ISREG(mode) and mode & 0o004
        if is_for_all and not modes[above] & 0o001 and not spelling.startswith("root/"):
            found.setdefault(above, spelling)
    return [
        Finding(f"{overlay.name}/{path}", f"others cannot reach {spelling} in it", False)
        for path, spelling in found.items()
    ]


def _is_invisible(letter: str) -> bool:
    """A control character, a newline, a mark that turns text around; not a byte of another set."""
    return not letter.isprintable() and not "\ud800" <= letter <= "\udfff"


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
                    shown = f"{overlay.name}/{spelling}"
                    findings.append(Finding(shown, f"{words} {other}"))
    return findings


def _tie(one: tags.Tag, other: tags.Tag) -> str:
    """How two variants of a path tie; "" if their ranks always differ or they cannot both hold."""
    if _weight(one) != _weight(other):
        return ""
    if one.conditions == other.conditions:
        return "ties always with"
    differing = one.conditions ^ other.conditions
    if all(each.attribute == "class" and not each.negated for each in differing):
        return "ties, on hosts in both classes, with"
    met = itertools.permutations(one.conditions | other.conditions, 2)
    return "ties, where both fit, with" if all(itertools.starmap(_agree, met)) else ""


def _weight(tag: tags.Tag) -> list[int]:
    """The places of the rank that a tag's conditions count in."""
    return sorted(tags.place(condition) for condition in tag.conditions)


def _agree(one: tags.Condition, other: tags.Condition) -> bool:
    """Whether one PC can meet both, as far as `one` says.

    A PC is taken to be of one distribution: which are like one another (ID_LIKE) is not known here.
    """
    if one.negated or one.attribute != other.attribute or one.attribute == "class":
        return one.negated or other != one._replace(negated=True)
    if any(sign in one.value for sign in "*?["):
        return True
    fits = one.value == other.value
    if one.attribute == "host":
        fits = hosts.matches(other.value, [one.value])
    elif one.attribute == "image":
        fits = globs.of_name(other.value).matches(one.value)
    return fits != other.negated


def _over_symlinks(store: str, overlay: Overlay, image: str) -> list[Finding]:
    """Directories where the image has a symlink: two names for one file lurk there."""
    findings = []
    reals: dict[str, str] = {}
    for listed in overlay.listing:
        path, _ = tags.unspell(listed.spelling)
        shown = f"{overlay.name}/{listed.spelling}"
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
                shown = f"{overlay.name}/{path}"
                findings.append(Finding(shown, f"is the same file as {twin} in image {image}"))
    return findings


def _link(image: str, path: str) -> str:
    """Where a path of an image leads if it is a symlink there; "" if it is none."""
    try:
        with paths.parent_descriptor(image, paths.Inside(image).entry(path)) as (above, name):
            return os.readlink(name, dir_fd=above)
    except (PathRefused, OSError):
        return ""
