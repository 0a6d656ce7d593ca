"""No edit of the store's allie.conf cuts a PC off: it stays current, or says one thing loudly.

And once the store is mended, the next tick is good again, without a hand on the PC.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from allie.server import lint, lint_settings, store
from tests.worlds.one_pc import World
from tests.worlds.store import served
from tests.worlds.toy import Dir, File, Link

pytestmark = [pytest.mark.real, pytest.mark.root]
CONF = "etc/allie/allie.conf"


def conf(
    world: World, overlays: str = "kit, common, extra", store: str = "", more: str = ""
) -> str:
    """The text of an allie.conf."""
    head = f"[allie]\nstore = {store or world.store}\nhost = pc07\n{more}"
    return f"{head}[system toy]\nimage = toy1\noverlays = {overlays}\n"


def site(top: Path) -> World:
    """A PC that follows an allie.conf of the store's, and has all that it names."""
    world = World(top, {"etc/motd": "1\n"}, overlays="common, extra")
    world.put({"usr/local/tool": "kit\n"}, "kit")
    world.put({"etc/extra": "x\n"}, "extra")
    world.put({CONF: conf(world)})
    world.tick().ok()
    assert world.read(CONF) == conf(world)
    return world


def deliver(world: World, text: str | bytes) -> None:
    world.put({CONF: text if isinstance(text, str) else File(text)})


def linked(world: World) -> None:
    above = world.overlay() / "etc/allie"
    above.rename(world.overlay() / "etc/other")
    above.symlink_to("other")


def retire(world: World) -> None:
    shutil.rmtree(world.overlay("extra"))


class Edit(NamedTuple):
    """What an administrator does, and what it comes to."""

    name: str
    do: Callable[[World], object]
    says: str = ""  # what the tick says, once; "": it is good
    current: bool = True  # whether other files of the store go on arriving
    extra: bool = True  # whether the overlay `extra` is followed still
    unseen: bool = False  # whether `overlay lint` cannot know it


def listed(overlays: str) -> Callable[[World], None]:
    return lambda world: deliver(world, conf(world, overlays))


def named(store: str) -> Callable[[World], None]:
    return lambda world: deliver(world, conf(world, store=store))


def more(line: str) -> Callable[[World], None]:
    return lambda world: deliver(world, conf(world, more=line + "\n"))


def instead(made: Any) -> Callable[[World], None]:
    def do(world: World) -> None:
        (world.overlay() / CONF).unlink()
        if isinstance(made, dict):
            world.put({f"{CONF}/{name}": each for name, each in made.items()})
        else:
            world.put({CONF: made})

    return do


def both(*deeds: Callable[[World], object]) -> Callable[[World], object]:
    return lambda world: [deed(world) for deed in deeds]


def renamed(world: World) -> None:
    world.overlay("extra").rename(world.overlay("other"))
    deliver(world, conf(world, "kit, common, other"))


def rewritten(old: str, new: str) -> Callable[[World], None]:
    return lambda world: deliver(world, conf(world).replace(old, new))


EDITS = [
    # overlays
    Edit("retired", both(listed("kit, common"), retire), extra=False),
    Edit("off the list", listed("kit, common"), extra=False),
    Edit("removed, and still on the list", retire, "no overlays/extra", current=False),
    Edit("misspelt", listed("kit, comon, extra"), "the store has no overlays/comon"),
    Edit("one that never was", listed("kit, common, extra, new"), "the store has no overlays/new"),
    Edit(
        "and another misspelt", both(listed("kit, comon"), retire), "overlays/comon", current=False
    ),
    Edit("reordered", listed("extra, common, kit")),
    Edit("twice", listed("kit, common, common, extra extra")),
    Edit("without kit", listed("common, extra")),
    Edit("emptied", listed(""), "names no overlays"),
    Edit("renamed", renamed),
    Edit("no name", listed("kit, common, ../extra"), "'../extra'"),
    Edit("a comment behind", listed("kit, common, extra # mine"), "overlay '#'"),
    Edit("without where it stands", listed("kit, extra"), "none of the overlays"),
    # stores
    Edit("an unreachable store", named("rsync://127.0.0.1:9"), "does not answer", unseen=True),
    Edit("no such host", named("rsync://nohost.invalid"), "does not answer", unseen=True),
    Edit("no such directory", named("/srv/nosuch"), "/srv/nosuch has none", unseen=True),
    Edit("no address", named("server:/srv"), "not the address"),
    Edit("a module that is not there", named("rsync://127.0.0.1:9/srv"), "not the address"),
    Edit("no store", rewritten("store =", "stor ="), "names no store"),
    Edit("a ring without releases", more("ring = stable"), "no releases/common/stable"),
    # values
    Edit("an unknown key", more("colour = red")),
    Edit("bad stall", more("stall = soon"), "stall = 'soon'"),
    Edit("bad bandwidth", more("bandwidth = fast"), "bandwidth = 'fast'"),
    Edit("bad host", more("bandwidth = 2M\ntrusted = /"), "trusted = '/'"),
    Edit("a key twice", more("host = x"), "host"),
    Edit(
        "another system's slip",
        lambda world: deliver(
            world, conf(world) + "[system el7]\nroot = nowhere\noverlays = kit\n"
        ),
        "root = 'nowhere'",
    ),
    Edit(
        "another system",
        lambda world: deliver(world, conf(world) + "[system el7]\nimage = el7\noverlays = kit\n"),
    ),
    Edit(
        "no section for this system",
        rewritten("[system toy]", "[system toys]"),
        "no section",
        unseen=True,
    ),
    # the text
    Edit("CRLF", lambda world: deliver(world, conf(world).replace("\n", "\r\n"))),
    Edit("a BOM", lambda world: deliver(world, "\ufeff" + conf(world))),
    Edit("not UTF-8", lambda world: deliver(world, b"# \xe4\xff\n" + conf(world).encode())),
    Edit(
        "not UTF-8 in a name",
        lambda world: deliver(
            world, conf(world, "kit, common, extra").encode().replace(b"extra", b"\xe4xtra")
        ),
        "xtra'",
    ),
    Edit("empty", lambda world: deliver(world, ""), "no section [system toy]"),
    Edit("no INI", lambda world: deliver(world, "store = x\n"), "before the first [section]"),
    Edit("zeros", lambda world: deliver(world, b"\0" * 100), "before the first [section]"),
    # another thing in its place
    Edit("a directory", instead(Dir()), "no regular file"),
    Edit("a directory with files", instead({"x": "x\n"}), "no regular file"),
    Edit("a symlink above it", linked, "ALLiE itself needs"),
    Edit("a symlink", instead(Link("site.conf")), "no regular file"),
    Edit(
        "absent",
        lambda world: (world.overlay() / CONF).rename(world.overlay() / f"{CONF}##absent"),
        "no regular file",
    ),
    Edit("removed altogether", lambda world: (world.overlay() / CONF).unlink()),
    # variants
    Edit(
        "for no host",
        lambda world: (world.overlay() / CONF).rename(world.overlay() / f"{CONF}##host.nosuch"),
    ),
    Edit(
        "for this host",
        lambda world: (world.overlay() / CONF).rename(world.overlay() / f"{CONF}##host.pc07"),
    ),
    Edit(
        "for a class",
        lambda world: world.put(
            {f"{CONF}##class.lab": conf(world, "kit, nowhere"), "etc/allie/classes": "lab: pc07\n"}
        ),
        "it can have no class",
    ),
    Edit(
        "a variant that is misspelt",
        lambda world: world.put({f"{CONF}##host.pc07": conf(world, "kit, comon")}),
        "the store has no overlays/comon",
    ),
    Edit("a tie", lambda world: world.put({f"{CONF}##once": conf(world)}), "is a tie between"),
    Edit("an editor's", lambda world: world.put({f"{CONF}~": "x\n"})),
    # of a later overlay
    Edit("of a later overlay", lambda world: world.put({CONF: conf(world)}, "extra")),
    Edit(
        "of a later one, that leads elsewhere",
        lambda world: world.put({CONF: conf(world, "kit, common, extra, new")}, "extra"),
        "the store has no overlays/new",
    ),
    Edit(
        "of a later one, that leads back",
        lambda world: world.put({CONF: conf(world, "kit, common")}, "extra"),
        "leads back",
    ),
    # the rest
    Edit(
        "classes that cannot be read",
        lambda world: world.put({"etc/allie/classes": "lab\n"}),
        "classes, line 1",
    ),
]


def complaints(said: str) -> int:
    """How many things a tick complains of; each part names what both hold back."""
    return len(
        {
            line.partition(";")[0]
            for line in said.splitlines()
            if "left as" in line or "trouble" in line
        }
    )


def errors(world: World) -> list[str]:
    """What `overlay lint` says that no PC will take."""
    top = str(world.store)
    found = lint_settings.of_store(top)
    found += [each for name in store.overlays(top) for each in lint.lint(top, name, [])]
    return [f"{each.path}: {each.message}" for each in found if each.is_error]


@pytest.mark.parametrize("edit", EDITS, ids=[edit.name for edit in EDITS])
def test_an_edit_leaves_the_pc_current_or_with_one_message_and_heals(
    tmp_path: Path, edit: Edit
) -> None:
    world = site(tmp_path)
    good = tmp_path / "good"
    shutil.copytree(world.store, good, symlinks=True)
    edit.do(world)
    world.put({"etc/motd": "two\n"})
    assert bool(errors(world)) == bool(edit.says and not edit.unseen), errors(world)
    done = world.tick()
    assert (done.rc, complaints(done.out)) == ((1, 1) if edit.says else (0, 0)), done.out
    assert edit.says in done.out
    assert world.read("etc/motd") == ("two\n" if edit.current else "1\n"), done.out
    assert world.there("etc/extra") == edit.extra
    assert world.read("usr/local/tool") == "kit\n"
    world.steady(rc=done.rc)
    shutil.rmtree(world.store)
    shutil.copytree(good, world.store, symlinks=True)
    world.put({"etc/motd": "three\n"})
    world.tick().ok()
    assert (world.read("etc/motd"), world.read("etc/extra")) == ("three\n", "x\n")
    assert world.read(CONF) == conf(world)


# --- over the network, where a store may be away --------------------------------------------


def test_what_came_is_asked_by_until_it_answers_also_when_the_old_store_is_gone(
    tmp_path: Path,
) -> None:
    world = site(tmp_path)
    with served(world.store) as old, served(tmp_path / "new") as new:
        deliver(world, conf(world, store=old.url))
        world.good()
        shutil.copytree(world.store, tmp_path / "new", symlinks=True)
        new.stop()
        deliver(world, conf(world, store=new.url))
        done = world.tick()
        assert (done.rc, complaints(done.out)) == (1, 1), done.out
        assert f"{new.url} does not answer" in done.out
        assert old.url in world.read(CONF)
        (tmp_path / "new/overlays/common" / CONF).write_text(conf(world, store=new.url))
        (tmp_path / "new/overlays/common/etc/motd").write_text("two\n")
        old.stop()
        new.start()
        world.good()
        assert (new.url in world.read(CONF), world.read("etc/motd")) == (True, "two\n")


def test_join_moves_a_pc_whose_store_is_gone(tmp_path: Path) -> None:
    """It was off while both were there; what the old one delivered must not hold it."""
    world = site(tmp_path)
    with served(world.store) as old, served(tmp_path / "new") as new:
        deliver(world, conf(world, store=old.url))
        world.good()
        shutil.copytree(world.store, tmp_path / "new", symlinks=True, dirs_exist_ok=True)
        (tmp_path / "new/overlays/common" / CONF).write_text(conf(world, store=new.url))
        old.stop()
        world.pc.run("join", new.url, "--no-timer")
        world.good()
        assert new.url in world.read(CONF)
        assert world.pc.run("join", new.url, "--no-timer", "--overlays", "kit").rc == 64


def test_two_stores_that_point_at_each_other_are_refused(tmp_path: Path) -> None:
    world = site(tmp_path)
    shutil.copytree(world.store, tmp_path / "new", symlinks=True)
    deliver(world, conf(world, store=str(tmp_path / "new")))
    done = world.tick()
    assert (done.rc, complaints(done.out)) == (1, 1), done.out
    assert "leads back" in done.out
    world.steady(rc=1)
    (tmp_path / "new/overlays/common" / CONF).write_text(conf(world, store=str(tmp_path / "new")))
    world.good()
    assert str(tmp_path / "new") in world.read(CONF)


def test_a_retired_overlay_over_the_network(tmp_path: Path) -> None:
    world = site(tmp_path)
    with served(world.store) as server:
        deliver(world, conf(world, store=server.url))
        world.good()
        deliver(world, conf(world, "kit, comon", store=server.url))
        retire(world)
        assert "the store has no overlays/comon" in world.tick().out
        deliver(world, conf(world, "kit, common", store=server.url))
        world.good()
        assert not world.there("etc/extra")


# --- on the PC ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made", ["", "x", "[allie]\nstore = /nowhere\n[system toy]\noverlays = nosuch\n", None]
)
def test_what_the_store_delivers_is_put_right_whatever_somebody_wrote(
    tmp_path: Path, made: str | None
) -> None:
    world = site(tmp_path)
    world.at(CONF).unlink()
    if made is not None:
        world.at(CONF).write_text(made)
    world.put({"etc/motd": "two\n"})
    world.good()
    assert (world.read(CONF), world.read("etc/motd")) == (conf(world), "two\n")


def test_the_settings_of_before_come_back_once_a_fetch_by_them_succeeds(tmp_path: Path) -> None:
    """What join wrote long ago may name what is no more: it must not count at once, either."""
    world = World(tmp_path, {"etc/motd": "1\n"}, overlays="common, old")
    world.good()
    world.put({CONF: conf(world, "kit, common")})
    world.good()
    shutil.rmtree(world.overlay("old"))
    (world.overlay() / CONF).unlink()
    world.put({"etc/motd": "2\n"})
    world.tick()
    done = world.tick()
    assert (done.rc, complaints(done.out)) == (1, 1), done.out
    assert "allie.conf is not followed, the settings of before are: the store has no" in done.out
    assert world.read("etc/motd") == "2\n"
    world.put({"etc/old": "old\n"}, "old")
    world.good()
    assert world.read("etc/old") == "old\n"


def test_classes_of_its_own_that_a_pc_cannot_read(tmp_path: Path) -> None:
    """Nothing is placed by guesses, and it is said which file; the store's own heal it."""
    world = World(tmp_path, {"etc/site##class.lab": "lab\n"})
    world.at("etc/allie/classes").write_text("lab pc07\n")
    done = world.tick()
    assert (done.rc, f"{world.at('etc/allie/classes')}, line 1: " in done.out) == (2, True), done
    assert not world.there("etc/site")
    world.put({"etc/allie/classes": "lab: pc07\n"})
    world.good()
    assert world.read("etc/site") == "lab\n"
