"""The page that shows the table of what is one machine's own is made from that table.

`python -m tests.docs.test_blandify_page` writes it anew.
"""

from __future__ import annotations

from allie.core.image import machine_own
from tests.docs.pages import DOCS

PAGE = DOCS / "reference" / "blandify.md"
_HEAD = """\
# What is one machine's own

`allie image blandify NAME` takes these out of an image, and `--check` looks for them. Paths count
from the image's root; a `*` stands for any name. Symlinks are followed inside the image.

| what is done | |
|---|---|
| remove | the file goes, or the directory with all that is in it |
| remove the file | the same, but a symlink may stay |
| clear | all files below go; directories stay |
| empty | a file with nothing in it stands there, also where there was none, or a symlink |
| empty logs | files below are emptied; older ones, with a number, a date or `.gz`, go |
| rewrite | lines that bind it to the machine go or change; comments stay |

| paths | what is done | why |
|---|---|---|
"""


def page() -> str:
    """The page as it must be."""
    rows = []
    for rule in machine_own.RULES:
        # of what both root and the users have, one is enough to read
        globs = [each for each in rule.globs.split() if not each.startswith("home/*/")]
        shown = " ".join(f"`{each.replace('root/.', '~/.')}`" for each in globs)
        rows.append(f"| {shown} | {rule.action} | {rule.why} |\n")
    return _HEAD + "".join(rows)


def test_the_page_is_the_table() -> None:
    assert PAGE.read_text() == page()


if __name__ == "__main__":
    PAGE.write_text(page())
