"""A change cut short at any of its steps, and gone on with, makes the tree that was meant."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allie.client.mirror import accept, incremental
from allie.client.mirror import generation as generations
from allie.client.mirror.generation import Generation
from allie.core.errors import StateError
from allie.core.system import System
from allie.machine.roots import open_system

Tree = dict[str, str | None]  # path → content (of a link: @ and its target); None: a directory
STEPS = ("rename", "mkdir", "rmdir", "unlink", "symlink", "utime", "link")
CONTENTS = ["", "1", "two", "@.", "@..", "@a", "@b"]
NAMES = st.sampled_from(["a", "b", "-c", "a/a", "a/b", "a/a/a", "b/a", "b/a/-c", "-c/a"])


def _closed(tree: dict[str, str]) -> Tree:
    """A tree that can be: what has something below it is a directory."""
    above = {path[:at] for path in tree for at in range(len(path)) if path[at] == "/"}
    return {
        **{path: text for path, text in tree.items() if path not in above},
        **dict.fromkeys(above),
    }


TREES = st.dictionaries(NAMES, st.sampled_from(CONTENTS)).map(_closed)


def _write(top: Path, tree: Tree) -> None:
    top.mkdir(parents=True, exist_ok=True)
    for path in sorted(tree):
        text = tree[path]
        if text is None:
            (top / path).mkdir()
        elif text[:1] == "@":
            (top / path).symlink_to(text[1:])
        else:
            (top / path).write_text(text)


def _read(top: Path) -> Tree:
    found: Tree = {}
    for above, directories, files in os.walk(top):
        for name in [*directories, *files]:
            path = Path(above, name)
            link = f"@{os.readlink(path)}" if path.is_symlink() else ""
            text = None if path.is_dir() else "" if link else path.read_text()
            found[str(path.relative_to(top))] = link or text
    return found


def _system(top: Path, tree: Tree) -> tuple[System, Generation]:
    """A system with a first generation, of one overlay."""
    here = open_system.open_system(str(top))
    first = Generation(1, f"{here.mirror}/1", ("common",))
    _write(Path(first.path) / "common", tree)
    generations.note(first, {"common": generations.listing(f"{first.path}/common")})
    os.symlink("1", here.current)
    return here, first


def _part(here: System, old: Tree, new: Tree) -> tuple[str, list[str]]:
    """What a fetch of the difference brings, and what leaves, both noted as `accept` does."""
    differs = {path for path in new if path not in old or old[path] != new[path]}
    above = {path[:at] for path in differs for at in range(len(path)) if path[at] == "/"}
    part = f"{here.mirror}/2.part"
    _write(Path(part) / "common", {path: new[path] for path in differs | above})
    was = generations.names_in(Generation(1, f"{here.mirror}/1", ("common",)), "common")
    gone = set(old) - set(new)
    now = accept.changed(was, generations.listing(f"{part}/common"), gone)
    generations.note(Generation(2, part, ("common",)), {"common": now})
    return part, [f"common/{each.spelling}" for each in was if each.spelling not in new]


def _counted(limit: int, real: Callable[..., None], steps: list[str]) -> Callable[..., None]:
    def step(*args: object, **words: object) -> None:
        steps.append(real.__name__)
        if len(steps) == limit:
            raise KeyboardInterrupt
        real(*args, **words)

    return step


def _of_a_lower_layer(real: Callable[..., None], first: str) -> Callable[..., None]:
    """rename(2) as overlayfs has it, where the directory `first` is in its lower layer."""

    def rename(old: str, new: str) -> None:
        if old == first:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), old)
        real(old, new)

    rename.__name__ = "rename"
    return rename


@given(TREES, TREES, st.integers(1, 60), st.booleans())
def test_a_change_cut_short_is_gone_on_with(old: Tree, new: Tree, limit: int, frozen: bool) -> None:
    with tempfile.TemporaryDirectory() as top:
        here, _ = _system(Path(top), old)
        part, gone = _part(here, old, new)
        steps: list[str] = []
        with ExitStack() as lasting, ExitStack() as patches:
            if frozen:
                rename = _of_a_lower_layer(os.rename, f"{here.mirror}/1")
                lasting.enter_context(mock.patch.object(os, "rename", rename))
            for name in STEPS:
                step = _counted(limit, getattr(os, name), steps)
                patches.enter_context(mock.patch.object(os, name, step))
            try:
                incremental.commit(here, part, gone)
            except KeyboardInterrupt:
                pass
            patches.close()
            assert generations.current(here), "nobody finds that there are no overlays"
            if os.path.isdir(part):  # it was never ready: what stands is the old
                assert _read(Path(here.mirror) / "1/common") == old
                return
            incremental.finish(here)
        after = generations.current(here)
        assert after is not None and after.number == 2
        assert _read(Path(after.path) / "common") == new
        assert dict(generations.names_in(after, "common")) == dict(
            generations.listing(f"{after.path}/common")
        )
        assert not generations.unfinished(here)
        left = {"2", "current", "1.old", *(["1"] if frozen else [])}
        assert set(os.listdir(here.mirror)) <= left


@given(TREES, TREES)
def test_parents_come_before_children(old: Tree, new: Tree) -> None:
    with tempfile.TemporaryDirectory() as top:
        here, _ = _system(Path(top), old)
        incremental.commit(here, *_part(here, old, new))
        after = generations.current(here)
        assert after
        met = {""}
        for path, is_dir in generations.names_in(after, "common"):
            assert path.rpartition("/")[0] in met
            met |= {path} if is_dir else set()


def test_what_a_change_replaces_is_kept_while_the_ledger_speaks_of_it(tmp_path: Path) -> None:
    here, first = _system(tmp_path, {"a": "old", "b": "goes"})
    inode = os.lstat(f"{first.path}/common/a").st_ino
    incremental.commit(here, *_part(here, {"a": "old", "b": "goes"}, {"a": "new"}))
    assert str(inode) in os.listdir(f"{here.mirror}/1.old")
    generations.remove_old(here, {1, 2})
    assert os.path.isdir(f"{here.mirror}/1.old")
    generations.remove_old(here, {2})
    assert not os.path.exists(f"{here.mirror}/1.old")


def test_a_disk_that_does_not_take_a_change_is_named(tmp_path: Path) -> None:
    here, _ = _system(tmp_path, {})
    part, gone = _part(here, {}, {"a/b": "new", "a": None})
    with (
        mock.patch("os.mkdir", side_effect=OSError(28, "No space left on device", "a")),
        pytest.raises(StateError, match="No space left on device"),
    ):
        incremental.commit(here, part, gone)
    assert generations.unfinished(here)
    incremental.finish(here)
    assert not generations.unfinished(here)
