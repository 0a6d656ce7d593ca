"""allie.conf, as docs/reference/settings.md tells it."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.core.conf.addresses import check_door, check_store, is_door
from allie.core.conf.settings import (
    DEFAULT_KEX,
    DEFAULT_STALL,
    Declared,
    Settings,
    check_name,
    declared,
    flaws,
    parse,
    unknown_keys,
)
from allie.core.conf.settings_text import render, section, without
from allie.core.errors import SettingsError

EXAMPLE = """\
[allie]
store = rsync://images.example.org         ; or ssh://host/srv/allie, or /srv/allie
ring =                                     ; none: the working trees
host =                                     ; default: the hostname
[system debian12]
root = LABEL=debian12                      ; where it lives as seen from the others
image = debian12
overlays = kit, common, debian12
"""


def conf(allie: str = "store = /srv", system: str = "overlays = kit") -> str:
    return f"[allie]\n{allie}\n[system pc]\n{system}\n"


def test_the_example_of_the_design() -> None:
    assert parse(EXAMPLE, "debian12") == Settings(
        system="debian12",
        stores=("rsync://images.example.org",),
        overlays=("kit", "common", "debian12"),
        image="debian12",
        root="LABEL=debian12",
    )
    assert unknown_keys(EXAMPLE) == []


SEVERAL = """\
[allie]
store = /srv
bandwidth = 2M

[system pc]
overlays = kit
# the old one
[system el7]   ; until June
root = /systems/el7
image = el7.9
overlays = kit, el7

[system base]
overlays = kit
"""


def test_the_other_systems_of_a_pc() -> None:
    found = parse(SEVERAL, "pc")
    assert found.bandwidth == "2M"
    assert [each.name for each in found.others] == ["el7", "base"]
    assert found.others[0] == Declared("el7", "/systems/el7", "el7.9", ("kit", "el7"))
    assert [each.name for each in parse(SEVERAL, "el7").others] == ["pc", "base"]
    assert parse(SEVERAL, "el7").root == "/systems/el7"
    assert [each.name for each in declared(SEVERAL)] == ["pc", "el7", "base"]


def test_a_section_goes_and_the_rest_stays() -> None:
    left = without(SEVERAL, "el7")
    assert "el7" not in left
    assert "# the old one" in left
    assert [each.name for each in declared(left)] == ["pc", "base"]
    assert without(left, "el7") == left


@pytest.mark.parametrize(
    ("root", "is_partition"),
    [("LABEL=el7", True), ("PARTLABEL=el7.9", True), ("/systems/el7", False)],
)
def test_where_a_system_may_live(root: str, is_partition: bool) -> None:
    made = Declared("el7", root, "el7", ("kit",))
    found = declared(section(made))[0]
    assert found == made
    assert found.is_partition is is_partition


@pytest.mark.parametrize(
    "root", ["/", "systems", "/a/../b", "/a//b", "/a/", "UUID=1", "LABEL=", "LABEL=a b", "/dev/.."]
)
def test_where_no_system_can_live(root: str) -> None:
    with pytest.raises(SettingsError, match="root = "):
        parse(conf() + f"[system el7]\nroot = {root}\noverlays = kit\n", "pc")


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        (conf("store = /a, /b"), "stores", ("/a", "/b")),
        (conf("store = /a /b,/a"), "stores", ("/a", "/b")),
        (conf("store =\n  /a\n  /b"), "stores", ("/a", "/b")),
        (conf(system="overlays = kit common"), "overlays", ("kit", "common")),
        (conf(system="overlays = b, a, kit, b"), "overlays", ("b", "a", "kit")),
        (conf(system="overlays = b, a"), "overlays", ("kit", "b", "a")),
        ("\ufeff" + conf().replace("\n", "\r\n"), "overlays", ("kit",)),
        (conf("store = /srv\nring = stable"), "ring", "stable"),
        (conf("store = /srv\nhost = pc07.example.org"), "host", "pc07.example.org"),
        (conf("store = /srv\nstall = 5"), "stall", 5),
        (conf("store = /srv\nown = ssh://h:8730/"), "own", "ssh://h:8730"),
        (conf("store = /srv\nkey = /etc/allie/key"), "key", "/etc/allie/key"),
        (conf("store = /srv\nkex ="), "kex", DEFAULT_KEX),
        (conf("store = /srv\nstall ="), "stall", DEFAULT_STALL),
        (conf(), "stall", DEFAULT_STALL),
        (conf("STORE = /srv"), "stores", ("/srv",)),
        (conf("store = /srv/50%"), "stores", ("/srv/50%",)),
        (conf("store = /srv\nnewer = thing"), "stores", ("/srv",)),
        ("# comment\n; comment\n" + conf(), "stores", ("/srv",)),
        (conf() + "[system other]\noverlays =\n", "overlays", ("kit",)),
        (conf() + "[DEFAULT]\nring = x\n", "ring", ""),
    ],
)
def test_a_setting_is_read(text: str, field: str, value: object) -> None:
    assert getattr(parse(text, "pc"), field) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no section [system pc]"),
        ("[allie]\nstore = /srv\n", "no section [system pc]"),
        ("[allie]\n[system pc]\noverlays = kit\n", "names no store"),
        ("[system pc]\noverlays = kit\n", "names no store"),
        ("[allie]\nstore = /srv\n[system pc]\n", "names no overlays in section [system pc]"),
        (conf(system="overlays = ,"), "names no overlays"),
        (conf(system="overlays = kit ../etc"), "overlay '../etc'"),
        (conf(system="overlays = .hidden"), "overlay '.hidden'"),
        (conf("store = http://x"), "'http://x' is not the address of a store"),
        (conf("store = /srv, relative"), "'relative' is not the address"),
        (conf("store = /srv\nring = ../x"), "ring '../x'"),
        (conf("store = /srv\nring = stable # the slow one"), "ring 'stable # the slow one'"),
        (conf(system="overlays = kit\nimage = a/b"), "image 'a/b'"),
        (conf("store = /srv\nstall = soon"), "stall = 'soon'"),
        (conf("store = /srv\nstall = 0"), "stall = '0'"),
        (conf("store = /srv\nstall = -1"), "stall = '-1'"),
        (conf("store = /srv\nstall = ²"), "stall = '²'"),
        (conf("store = /srv\nbandwidth = fast"), "bandwidth = 'fast'"),
        (conf("store = /srv\nown = rsync://h"), "'rsync://h' is not the address of a store's ssh"),
        (conf("store = /srv\nkey = id_rsa"), "key = 'id_rsa'"),
        (conf("store = /srv\nkex = a b"), "kex = 'a b'"),
        (conf(system="overlays = kit, private"), "no overlay of a list can be called private"),
        (conf("store = /srv\nstore = /b"), "store"),
        (conf() + "[allie]\n", "allie"),
        ("store = /srv\n", "before the first [section]"),
        ("[allie]\nnonsense\n", "nonsense"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)) as caught:
        parse(text, "pc")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (conf(), []),
        (conf("store = /srv\nstor = /x"), ["[allie] stor"]),
        (conf(system="overlays = kit\nimages = x"), ["[system pc] images"]),
        ("[alie]\nstore = /srv\n", ["[alie]"]),
        ("[system]\noverlays = kit\n", ["[system]"]),
        ("[allie x]\nstore = /srv\n", ["[allie x]"]),
        ("[DEFAULT]\nstore = /srv\n", ["[DEFAULT]"]),
    ],
)
def test_slips_of_the_pen_are_named(text: str, unknown: list[str]) -> None:
    assert unknown_keys(text) == unknown


@pytest.mark.parametrize("name", ["kit", "debian12", "a", "opensuse-15.6", "A_b-c.d", "0"])
def test_a_name(name: str) -> None:
    assert check_name(name, "overlay") == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "_x", "a/b", "a b", "ä", "a\n", "a,b"])
def test_no_name(name: str) -> None:
    with pytest.raises(SettingsError):
        check_name(name, "overlay")


@pytest.mark.parametrize(
    "store",
    [
        "rsync://host",
        "rsync://host/",
        "rsync://host:8873/",
        "rsync://user@host",
        "rsync://[::1]:873/",
        "ssh://host/srv/allie",
        "ssh://root@host/srv/allie",
        "ssh://host",
        "ssh://host:8730",
        "ssh://[::1]:8730",
        "/srv/allie",
    ],
)
def test_an_address_of_a_store(store: str) -> None:
    assert check_store(store) == store


@pytest.mark.parametrize(
    "store",
    " host srv/allie rsync:// rsync://host/module ssh://root@host ssh:// ssh://-oProxyCommand=x"
    " ssh://a,b ssh://h:x ftp://h/ rsync://host:port"
    " rsync://host:123456 rsync://:873 rsync://[::1".split(" "),
)
def test_no_address_of_a_store(store: str) -> None:
    with pytest.raises(SettingsError):
        check_store(store)


def test_a_door_is_ssh_without_a_path() -> None:
    assert check_store("ssh://host:8730/") == "ssh://host:8730"
    assert not any(map(is_door, ("ssh://host/srv", "ssh://host//", "rsync://host", "/srv")))
    for no_door in ("rsync://host", "/srv", "ssh://host/srv", "ssh://allie-store@host"):
        with pytest.raises(SettingsError, match="ssh door"):
            check_door(no_door)


@pytest.mark.parametrize(
    ("allie", "door"),
    [
        ("store = rsync://a, rsync://b\nown = ssh://c:8730", "ssh://c:8730"),
        ("store = ssh://c:8730/", "ssh://c:8730"),
        ("store = rsync://a, ssh://c", "ssh://c"),
        ("store = ssh://c/srv", ""),
        ("store = /srv", ""),
    ],
)
def test_the_door_that_has_what_is_this_hosts_own(allie: str, door: str) -> None:
    assert parse(conf(allie), "pc").door == door


def test_what_a_hosts_own_door_needs_is_what_a_fetch_depends_on() -> None:
    plain = parse(conf("store = /srv"), "pc")
    for line in ("own = ssh://c", "key = /etc/key", "kex = sntrup761x25519-sha512@openssh.com"):
        assert parse(conf(f"store = /srv\n{line}"), "pc").fetch_key != plain.fetch_key


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
STORES = st.one_of(
    st.builds("rsync://{}/".format, NAMES),
    st.builds("ssh://{}/{}".format, NAMES, NAMES),
    st.builds("/{}".format, st.text(string.ascii_letters + "/._%;#=[]", max_size=12)),
)
OTHERS = st.builds(
    Declared,
    name=NAMES,
    root=st.sampled_from(["", "LABEL=x", "/systems/x"]),
    image=st.one_of(st.just(""), NAMES),
    overlays=st.lists(NAMES, max_size=2, unique=True).map(tuple),
)
SETTINGS = st.builds(
    Settings,
    system=NAMES,
    stores=st.lists(STORES, min_size=1, max_size=3, unique=True).map(tuple),
    overlays=st.lists(NAMES, max_size=4, unique=True).map(
        lambda names: tuple(dict.fromkeys([*names, "kit"]))
    ),
    image=st.one_of(st.just(""), NAMES),
    ring=st.one_of(st.just(""), NAMES),
    host=st.one_of(st.just(""), NAMES.map(lambda name: name.strip("._-"))),
    stall=st.integers(1, 10**6),
    root=st.sampled_from(["", "PARTLABEL=x", "/systems/own"]),
    bandwidth=st.sampled_from(["", "500", "1.5M"]),
    own=st.sampled_from(["", "ssh://h", "ssh://[::1]:8730"]),
    key=st.sampled_from(["", "/etc/ssh/ssh_host_rsa_key"]),
    kex=st.sampled_from([DEFAULT_KEX, "sntrup761x25519-sha512@openssh.com,curve25519-sha256"]),
    trusted=st.lists(st.sampled_from(["/srv/www", "/var/guix.d"]), unique=True).map(tuple),
    others=st.lists(OTHERS, max_size=2, unique_by=lambda each: each.name).map(tuple),
).filter(lambda settings: settings.system not in {each.name for each in settings.others})


@given(SETTINGS)
def test_what_join_writes_is_read_back_the_same(settings: Settings) -> None:
    text = render(settings)
    assert parse(text, settings.system) == settings
    assert unknown_keys(text) == []


@given(st.text(alphabet="[]allie system pc=:;#\n\t ,/x%\udcff", max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    for whole in (text, conf(text), conf(system=text)):
        try:
            parse(whole, "pc")
            unknown_keys(whole)
        except SettingsError:
            pass


@pytest.mark.parametrize(
    "line",
    [
        "host = ../../etc",
        "host = pc 07",
        "host = pc\x1b[31m",
        "host = pc\0",
        "host = " + "1" * 5000,
        "stall = " + "9" * 5000,
        "stall = 9999999999",
        "stall = \N{SUPERSCRIPT TWO}",
        "stall = \N{ARABIC-INDIC DIGIT TWO}",
        "bandwidth = 1." + "9" * 5000,
        "ring = " + "a" * 5000,
        "store = /srv/\x1b[31m",
        "store = /srv/\0",
        "store = /" + "a" * 5000,
    ],
)
def test_what_cannot_be_used_is_a_settings_error(line: str) -> None:
    text = conf(line if line.startswith("store") else f"store = /srv\n{line}")
    with pytest.raises(SettingsError):
        parse(text, "pc")


@pytest.mark.parametrize("root", ["/a\0b", "/a\x1bb", "/" + "a" * 5000, "LABEL=" + "a" * 5000])
def test_a_root_that_no_system_call_takes(root: str) -> None:
    with pytest.raises(SettingsError):
        declared(f"[system el7]\nroot = {root}\n")


_LINES = [
    "[allie]",
    "[system pc]",
    "[system",
    "store = /srv",
    "overlays = kit",
    "host = x",
    "stall = 1",
]
_LINES += [" more", "=", ": x", "\0", "\x0b", "[]", "[allie]]", "root = LABEL=x", "overlays", "; x"]


@given(st.lists(st.sampled_from(_LINES) | st.text(max_size=12), max_size=8).map("\n".join))
def test_no_lines_raise_anything_else(text: str) -> None:
    for read in (lambda text: parse(text, "pc"), declared, unknown_keys):
        try:
            read(text)
        except SettingsError:
            pass


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rubbish\n[allie]\n", "line 1: 'rubbish' stands before the first [section]"),
        (
            "[allie]\nstore = /x\nrubbish\n",
            "line 3: 'rubbish' is neither [section] nor key =",
        ),
        ("[allie]\nstore = /x\nstore = /y\n", "line 3: store is there twice"),
        ("[allie]\n[allie]\n", "line 2: [allie] is there twice"),
    ],
)
def test_a_line_that_is_no_ini_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, "base")
    assert caught.value.message.startswith(f"allie.conf, {said}")


_TEXTS = st.lists(
    st.sampled_from([*_LINES, "[system el7]", "overlays = a b", "image = x", "stall = x"]),
    max_size=9,
).map("\n".join)


@given(_TEXTS)
def test_what_lint_calls_fine_is_taken_by_every_system_in_it_and_nothing_else_is(text: str) -> None:
    refused = False
    try:
        names = [each.name for each in declared(text) if each.is_looked_after or not each.root]
    except SettingsError:
        names, refused = [], True
    for name in names:
        try:
            parse(text, name)
        except SettingsError:
            refused = True
    assert bool(flaws(text)) == (refused or not names)
