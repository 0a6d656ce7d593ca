"""What a command line says that no command takes."""

from __future__ import annotations

import pytest

from allie.cli import main
from allie.cli.parsing import parse
from allie.core.errors import UsageError


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        ("boot", ["--root", "/x"], "allie boot is for the machine that it runs on: .* no --root"),
        ("boot", ["--root=/x", "el7"], "it has no --root"),
        ("vm", ["el7", "--nosuch"], "there is no option --nosuch"),
        ("boot", ["a", "b", "c"], "is too much"),
    ],
)
def test_an_option_that_a_command_has_not(verb: str, words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(verb, main.module_of(verb), words)
