"""What a system knows of itself: the facts that tags are compared with.

Facts are read by `client.situation.gather_facts` (from os-release, uname and the generation's own
`etc/allie/classes`), or pretended for another host by `overlay why --host`.
"""

from __future__ import annotations

from allie.core import globs, hosts
from allie.core.errors import SettingsError
from allie.core.lean import kept, re
from allie.core.value import Value


class Facts(Value):
    """One system's facts. An empty string or tuple means: this system lacks that fact."""

    host: str
    fqdn: str = ""
    classes: tuple[str, ...] = ()
    image: str = ""
    distro: tuple[str, ...] = ()  # os-release ID, then each of ID_LIKE
    version: str = ""  # os-release VERSION_ID
    arch: str = ""
    virt: str = ""  # as systemd-detect-virt names it; `none` on bare metal

    @property
    def names(self) -> tuple[str, str]:
        """The two names that a host tag is compared with."""
        return self.host, self.fqdn


class OsRelease(Value):
    """The fields of os-release(5) that matter here."""

    id: str = ""
    like: tuple[str, ...] = ()
    version: str = ""
    pretty: str = ""


@kept(maxsize=8)
def parse_os_release(text: str) -> OsRelease:
    """Read os-release(5): KEY=value lines, values perhaps in quotes."""
    fields = {}
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            fields[key] = re.sub(r"\\(.)", r"\1", value) if "\\" in value else value
    return OsRelease(
        id=fields.get("ID", ""),
        like=tuple(fields.get("ID_LIKE", "").split()),
        version=fields.get("VERSION_ID", ""),
        pretty=fields.get("PRETTY_NAME", ""),
    )


def parse_hostname(text: str) -> str:
    """Read hostname(5): its first line that is no comment."""
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def parse_classes(text: str) -> dict[str, tuple[str, ...]]:
    """Read a classes file: `lab: pc[01-40,99] srv*`, one class a line, `#` starts a comment.

    A class named on several lines has the hosts of all of them.
    Raises SettingsError with the number of a line that is not of that form.
    """
    classes: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        body = line.partition("#")[0].strip()
        if not body:
            continue
        name, colon, members = body.partition(":")
        name = name.strip()
        if not colon or not globs.is_word(name):
            raise SettingsError(
                f"classes, line {number}: {body!r} is not of the form `class: host host…`"
            )
        classes.setdefault(name, []).extend(members.split())
    return {name: tuple(members) for name, members in classes.items()}


@kept(maxsize=8)  # a tick asks before each script
def classes_by_file(names: tuple[str, str], text: str) -> tuple[str, ...]:
    """The classes that a host is in by the text of a classes file. Raises SettingsError."""
    return classes_of(names, parse_classes(text))


def classes_of(names: tuple[str, str], classes: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The classes that a host (short name, FQDN) is in, sorted."""
    return tuple(
        sorted(
            name
            for name, members in classes.items()
            if any(hosts.matches(member, names) for member in members)
        )
    )
