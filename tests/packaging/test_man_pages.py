"""The man pages as pages: they say what the Markdown says, and nobody finds fault with them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from allie import __version__
from allie.cli import manual
from allie.machine import console
from tools import manpages

PAGES = sorted(manpages.PAGES.glob("*.md"))


def roff_of(page: Path) -> str:
    return manpages.roff(page.read_text(), "1.2")


def test_all_pages_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manpages.main(str(tmp_path / "man"))
    made = {Path(line).name for line in capsys.readouterr().out.split()}
    assert made == {page.stem for page in PAGES} == set(os.listdir(tmp_path / "man"))
    first = (tmp_path / "man/allie.8").read_text().partition("\n")[0]
    assert first == f'.TH ALLIE 8 "" "ALLiE {__version__}" "System Manager\'s Manual"'


@pytest.mark.parametrize(
    ("markdown", "made"),
    [
        ("plain *it* **b** \\*x", r"plain \fIit\fR \fBb\fR *x"),
        ("--root ~ ^ `x` it's", r"\-\-root \(ti \(ha \(gax\(ga it\(aqs"),
        (".dot first", r"\&.dot first"),
        ("'quote first", r"\(aqquote first"),
        ("a\\\nb", "a\n.br\nb"),
        ("**-v**\n:   what it\n    does", ".TP\n\\fB\\-v\\fR\nwhat it does"),
        ("x\n:   y\n\n    - **i**: j", ".TP\nx\ny\n.RS\n.IP \\(bu 2\n\\fBi\\fR: j\n.RE"),
        ("first\n\n    as  it\n    is", "first\n.PP\n.RS 4\n.nf\nas  it\nis\n.fi\n.RE"),
    ],
)
def test_each_mark(markdown: str, made: str) -> None:
    text = manpages.roff(f"% A(1) | M\n\n# NAME\n\n{markdown}\n", "1.2")
    assert text.partition(".SH NAME\n")[2] == f"{made}\n"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_man_has_nothing_against_it(page: Path, tmp_path: Path) -> None:
    made = tmp_path / page.stem
    made.write_text(roff_of(page))
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(made)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_it_says_the_same_as_allie_help(page: Path, tmp_path: Path) -> None:
    made = tmp_path / page.stem
    made.write_text(roff_of(page))
    shown = subprocess.run(
        ["man", "-E", "UTF-8", "-l", str(made)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    said = console.as_shown(manual.rendered(page.read_text(), 100)[1:])
    body = "\n".join(shown.splitlines()[1:-1])  # without the lines above and below the text
    pairs = zip(words(body), words(said))
    assert not [pair for pair in pairs if pair[0] != pair[1]][:1]
    assert len(words(body)) == len(words(said))


def words(text: str) -> list[str]:
    """What is read, without how it is set."""
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", text)
    return [each for each in plain.replace("•", "-").split() if each]
