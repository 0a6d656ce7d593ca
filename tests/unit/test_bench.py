"""The bench's pure parts: which figures a run is judged by, and what a budget then says."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import budgets
from bench.budgets import Budget, Server
from bench.comparison import cases
from bench.peers import ALLIE, CF_MTIME, EVERY_TICK, PYTHON, RSYNC, SIBLING, all_peers, named
from bench.results import cpu, figure, honest, of_python, ratio
from bench.sample import Sample
from bench.world import Results

PEERS = all_peers(Path("/allie"))


def samples(*figures: float) -> list[Sample]:
    """A run in each round, of so many ms."""
    return [Sample(each, each, 7, 0, round=number) for number, each in enumerate(figures)]


def test_a_ratio_is_of_runs_of_one_round() -> None:
    slow_round = 10.0
    found: Results = {
        (50, ALLIE, "no-op"): samples(20, 20 * slow_round, 22),
        (50, PYTHON, "no-op"): samples(10, 10 * slow_round, 10),
    }
    assert ratio(found, cpu, (50, ALLIE, "no-op"), (50, PYTHON, "no-op")) == 2.0
    assert figure(found, cpu, (50, ALLIE, "no-op")) == 22


def test_python_is_in_each_case_of_a_round() -> None:
    found: Results = {
        (50, ALLIE, "changed"): samples(100),
        (50, PYTHON, "changed"): samples(50),
        (50, PYTHON, "no-op"): samples(10, 1),
        (50, PYTHON, "after"): samples(10, 1),
    }
    assert of_python(found, (50, ALLIE, "changed")) == 10


def test_a_ratio_needs_a_round_that_both_played() -> None:
    found: Results = {(50, ALLIE, "no-op"): samples(20, 21), (50, PYTHON, "no-op"): samples(10)}
    assert ratio(found, cpu, (50, ALLIE, "no-op"), (50, PYTHON, "no-op")) == 2.0
    assert ratio(found, cpu, (50, ALLIE, "no-op"), (50, RSYNC, "no-op")) is None


def test_failed_runs_say_nothing_of_speed() -> None:
    failed, late = Sample(1, 1, 7, status=1), Sample(1, 1, 7, 0, late=True)
    found: Results = {(50, ALLIE, "no-op"): [failed, late, *samples(20)]}
    assert figure(found, cpu, (50, ALLIE, "no-op")) == 20
    assert not honest(found, ALLIE)


@pytest.mark.parametrize(
    ("words", "files", "limit"),
    [
        ("rsync -n --delete rsync://h/overlays/kit", 5000, 8.0),
        ("rsync -n rsync://h/overlays/kit", 5000, 6.0),
        ("rsync -n rsync://h/overlays/kit", 500, 3.0),
        ("rsync rsync://h/heads/stable", 5000, 4.8),
        ("rsync rsync://h/heads/stable", 50, 2.5),
        ("", 5000, 8.0),
    ],
)
def test_what_a_no_op_may_cost_depends_on_its_question(
    words: str, files: int, limit: float
) -> None:
    assert budgets.no_op_limit(files, words.split())[0] == limit


def test_each_budget_is_measured_and_held(capsys: pytest.CaptureFixture[str]) -> None:
    found: Results = {}
    for files in budgets.NO_OP:
        for peer in PEERS:
            for case in ("first", "no-op", "changed", "drifted", "updated"):
                found[files, peer.name, case] = samples(10, 10, 10)
    held = budgets.all_budgets(found, Server(5, 5), {})
    assert all(each.met for each in held)
    assert budgets.say_broken(held, full=True) == 0
    found[5000, ALLIE, "no-op"] = samples(10, 81, 82)
    held = budgets.all_budgets(found, Server(5, 5.6), {})
    assert budgets.say_broken(held, full=True) == 1
    said = capsys.readouterr().err
    assert "5,000 files: CPU, against Python's start: 8.10 x, at most 8.00 x" in said
    assert f"against {CF_MTIME}" in said and "server's CPU" in said
    assert " 500 files: CPU" not in said and " 50 files" not in said


def test_what_was_not_measured_fails_a_full_run_only() -> None:
    missing = [Budget("no-op", None, 3.0, " x")]
    assert budgets.say_broken(missing, full=False) == 0
    assert budgets.say_broken(missing, full=True) == 1
    assert missing[0].line() == "| no-op |  |  | not measured |"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("allie", [ALLIE]),
        ("every,two", [EVERY_TICK, SIBLING]),
        ("python,RSYNC", [PYTHON, RSYNC]),
        ("cf-agent", [CF_MTIME, "cf-agent by digest"]),
        ("", [peer.name for peer in PEERS]),
        ("chef", []),
    ],
)
def test_peers_by_name(words: str, found: list[str]) -> None:
    assert [peer.name for peer in named(words.split(","), PEERS)] == found


def test_every_round_has_a_no_op_and_each_third_has_work() -> None:
    rounds = [cases(number, 500) for number in range(6)]
    assert all("no-op" in each for each in rounds)
    assert [len(each) for each in rounds] == [6, 1, 2, 6, 1, 2]
    assert "first" in cases(0, 5000) and "first" not in cases(3, 5000)
