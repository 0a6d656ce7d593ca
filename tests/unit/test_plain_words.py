"""A plain command line means the same with and without argparse."""

from __future__ import annotations

import pytest

from allie.cli import main, parsing, plain_words

_PLAIN = [
    ("join", "rsync://server"),
    ("join", "rsync://server --overlays kit,common --host pc07 --no-timer"),
    ("join", "--root /mnt --no-timer /srv/store --image debian12 --image debian13"),
    ("status", ""),
    ("status", "--json --system other"),
    ("pause", "--root /mnt"),
]
_OTHERS = [
    ("join", ""),
    ("join", "one two"),
    ("join", "store --host"),
    ("join", "store --host --no-timer"),
    ("join", "store --host=pc07"),
    ("join", "store --over kit"),
    ("join", "-- store"),
    ("join", "--help"),
    ("status", "-1"),
    ("store", "init"),
    ("system", "list"),
]


@pytest.mark.parametrize(("verb", "words"), _PLAIN)
def test_plain_words_mean_the_same(verb: str, words: str) -> None:
    module = main.module_of(verb)
    found = plain_words.parse(module, words.split())
    if found is not None:
        assert vars(found) == vars(parsing.parse(verb, module, words.split()))
    assert found is not None or verb != "join"


@pytest.mark.parametrize(("verb", "words"), _OTHERS)
def test_what_is_not_plain_is_for_argparse(verb: str, words: str) -> None:
    assert plain_words.parse(main.module_of(verb), words.split()) is None


@pytest.mark.parametrize("verb", [each for each in main.VERBS if each != "enter"])
def test_no_verb_is_misread(verb: str) -> None:
    """Where a verb without words, or with --json, is taken for plain, argparse says the same."""
    module = main.module_of(verb)
    for words in ([], ["--json"], ["--root", "/mnt"], ["a"], ["a", "--json"]):
        found = plain_words.parse(module, words)
        if found is not None:
            assert vars(found) == vars(parsing.parse(verb, module, words))
