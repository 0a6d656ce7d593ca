"""Tags: what follows `##` in a name of an overlay, and how well it fits a system's facts.

    hosts.allow##host.pc07            the file for pc07
    motd##class.lab,~virt.none        for virtual machines of the class lab
    rc.local##absent                  the path must not exist

The spelling is that of yadm's alternates. What counts is told in docs/reference/tags.md.

docs/internals/rules.md, "More specific is not more conditions".
"""

from __future__ import annotations

from allie.core import globs, hosts
from allie.core.facts import Facts
from allie.core.lean import re
from allie.core.value import Value

SIGN = "##"
FLAGS = ("absent", "once")
# The order is the precedence: the first place where two ranks differ decides.
RANKED = ("host", "host pattern", "class", "image", "virt", "arch", "version", "distro", "negated")
ATTRIBUTES = ("host", "class", "image", "virt", "arch", "version", "distro")
_ARCHS = {  # what Debian and others call them, and what uname does
    "amd64": "x86_64",
    "x86-64": "x86_64",
    "i386": "i686",
    "arm64": "aarch64",
    "armhf": "armv7l",
    "ppc64el": "ppc64le",
}
_VIRTS = (
    "none kvm qemu amazon zvm vmware microsoft oracle xen powervm bochs uml parallels bhyve qnx"
    " acrn apple sre google vm-other openvz lxc lxc-libvirt systemd-nspawn docker podman rkt wsl"
    " proot pouch container-other"
).split()
_WHO_SAYS = {"distro": "os-release(5)", "arch": "uname -m"}
_BOTH_FLAGS = "absent and once exclude each other"
Rank = tuple[int, ...]
DEFAULT_RANK: Rank = (0,) * len(RANKED)


class Condition(Value):
    """One condition, `class.lab` or, negated, `~class.lab`."""

    attribute: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{'~' if self.negated else ''}{self.attribute}.{self.value}"


class Tag(Value):
    """The merged tags of all components of a path."""

    conditions: frozenset[Condition] = frozenset()
    flag: str = ""  # "", "absent" or "once"
    error: str = ""  # why this tag can never match


NO_TAG = Tag()


def split(component: str) -> tuple[str, str | None]:
    """Split one component at its first `##`: (name, tag text or None)."""
    name, sign, text = component.partition(SIGN)
    return name, text if sign else None


def parse(text: str) -> Tag:
    """Read the text of one tag; what is wrong with it is in `error`, never raised."""
    conditions = set()
    flags = set()
    error = ""
    for item in _items(text):
        condition, flag, wrong = _item(item)
        error = error or wrong
        if condition:
            conditions.add(condition)
        if flag:
            flags.add(flag)
    if SIGN in text:
        error = "a second ## in one name"
    if len(flags) > 1:
        error = error or _BOTH_FLAGS
    return Tag(frozenset(conditions), min(flags, default=""), error)


def parse_name(spelling: str) -> Tag:
    """The tag of a path's last component alone."""
    name, text = split(spelling.rpartition("/")[2])
    if text is None:
        return NO_TAG
    tag = parse(text)
    return tag if name else tag._replace(error=tag.error or "nothing before the ##")


def _items(text: str) -> list[str]:
    """Split at the commas that are not within brackets."""
    items = [""]
    depth = 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth <= 0:
            items.append("")
        else:
            items[-1] += sign
    return items


def _item(item: str) -> tuple[Condition | None, str, str]:
    """One item of a tag: (condition, flag, what is wrong with it)."""
    negated = item.startswith("~")
    body = item[1:] if negated else item
    attribute, dot, value = body.partition(".")
    if not body:
        return None, "", "an empty condition"
    if body in FLAGS:
        return (None, "", f"~{body} means nothing") if negated else (None, body, "")
    if attribute not in ATTRIBUTES:
        return None, "", f"unknown attribute {attribute!r}"
    if not dot or not value:
        return None, "", f"{attribute} needs a value, as in {attribute}.x"
    return Condition(attribute, value, negated), "", ""


def flaw(tag: Tag) -> str:
    """Why a tag fits no system, or hardly one that was meant; "" if nothing speaks against it."""
    for each in sorted(tag.conditions):
        if each._replace(negated=not each.negated) in tag.conditions:
            return f"{each} and not: no system is both"
        words = _flaw_of_value(each)
        if words:
            return f"{each.value[:60]}: {words}"
    for attribute in ("host", "image", "arch", "version", "virt"):
        values = {
            each.value.lower().partition(".")[0] if attribute == "host" else each.value
            for each in tag.conditions
            if each.attribute == attribute and not each.negated and hosts.is_exact(each.value)
        }
        if len(values) > 1:
            return f"no system has more than one {attribute}: {' '.join(sorted(values))[:60]}"
    return ""


def _flaw_of_value(condition: Condition) -> str:
    attribute, value = condition.attribute, condition.value
    if attribute == "host":
        return hosts.flaw(value)
    if attribute == "image" and not globs.is_possible(value):
        return "a set that runs backwards has no letter in it"
    if attribute not in ("image", "class") and re.search("[*?[]", value):
        return "only host and image take patterns"
    if attribute == "arch" and value.lower() in _ARCHS:
        return f"uname -m says {_ARCHS[value.lower()]}"
    if attribute == "virt" and value not in _VIRTS:
        return "systemd-detect-virt(1) says no such thing; on bare metal it says none"
    if attribute == "version" and not re.search("[0-9]", value):
        return "os-release(5) has a number there"
    large = attribute in ("distro", "arch") and value != value.lower()
    return f"{_WHO_SAYS[attribute]} has it in small letters" if large else ""


def unspell(spelling: str) -> tuple[str, Tag]:
    """Take the tags off a path of an overlay: (the path they are for, all tags merged).

    A directory's tag holds for all below it; its conditions are added to every path's own.
    """
    if SIGN not in spelling:
        return spelling, NO_TAG
    names = []
    conditions: frozenset[Condition] = frozenset()
    flag = error = ""
    components = spelling.split("/")
    for position, component in enumerate(components):
        name, text = split(component)
        names.append(name)
        if text is None:
            continue
        tag = parse_name(component)
        error = error or tag.error
        conditions |= tag.conditions
        if tag.flag == "absent" and position < len(components) - 1:
            error = error or "it lies in a directory that is tagged absent"
        if tag.flag and flag and tag.flag != flag:
            error = error or _BOTH_FLAGS
        flag = tag.flag or flag
    return "/".join(names), Tag(conditions, flag, error)


def rank(tag: Tag, facts: Facts) -> Rank | None:
    """How specifically the tag fits these facts, or None if it does not."""
    if failing(tag, facts):
        return None
    counts = [0] * len(RANKED)
    for condition in tag.conditions:
        counts[place(condition)] += 1
    return tuple(counts)


def failing(tag: Tag, facts: Facts) -> str:
    """Why a tag does not fit these facts, the first condition that fails; "" if it does."""
    if tag.error:
        return tag.error
    for condition in sorted(tag.conditions):
        if not _known(condition, facts) or _holds(condition, facts) == condition.negated:
            return f"{condition} does not hold here"
    return ""


def explain(winner: Rank, loser: Rank) -> str:
    """Say which place of the rank decided between two variants that both fit."""
    for name, more, less in zip(RANKED, winner, loser):
        if more != less:
            return f"the winner has {more} {name} condition{'s' * (more != 1)} to its {less}"
    return "equal"


def place(condition: Condition) -> int:
    """Which place of the rank a true condition counts in."""
    if condition.negated:
        return RANKED.index("negated")
    if condition.attribute == "host" and not hosts.is_exact(condition.value):
        return RANKED.index("host pattern")
    return RANKED.index(condition.attribute)


def _known(condition: Condition, facts: Facts) -> bool:
    """A fact that this system lacks satisfies no condition, not even a negated one."""
    return condition.attribute == "class" or bool(getattr(facts, condition.attribute))


def _holds(condition: Condition, facts: Facts) -> bool:
    attribute, value = condition.attribute, condition.value
    if attribute == "host":
        return hosts.matches(value, facts.names)
    if attribute == "class":
        return value in facts.classes
    if attribute == "distro":
        return value in facts.distro
    if attribute == "image":
        return globs.of_name(value).matches(facts.image)
    return bool(value == getattr(facts, attribute))
