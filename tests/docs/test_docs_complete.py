"""Nothing in the program is undocumented, and nothing documented is not in the program."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from allie.cli import main, manual, parsing
from allie.client.systems import own_files
from allie.core import errors, forbidden_paths, tags
from allie.core import script as rules
from allie.core.conf import settings
from allie.core.conf.settings import Settings
from allie.machine.programs import signals
from tests.docs.pages import DOCS, MAN, TOP, anchors, links, pages, sessions

REFERENCE = DOCS / "reference"
COMMANDS = REFERENCE / "commands.md"
MAN_PAGES = sorted(MAN.glob("*.md"))
COMMON_OPTIONS = {"--help"}
_TYPED = re.compile(r"(?:^|[;&|] *)allie((?: --root \S+| --store \S+)*) (\S+)(?: (\S+))?")
_OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*(?![\w-])")
# Programs and options of others that the pages speak of
OTHERS_OPTIONS = {"--numeric-ids", "--delete", "--fsync", "--unit", "-aHAX", "-c", "-l"}


class Verb(NamedTuple):
    """One command: its options, and what else may be said to it."""

    name: str
    options: set[str]
    words: set[str]  # arguments that must be one of a few words
    arguments: set[str]


@cache
def verbs() -> dict[str, Verb]:
    """Every command of the command line, as its parser has it; `store serve` is one, too."""
    modules = {name: main.module_of(name) for name in main.VERBS}
    for name, module in tuple(modules.items()):
        actions = getattr(module, "ACTIONS", {})
        modules |= {f"{name} {action}": each for action, each in actions.items()}
    return {name: _verb(name, module) for name, module in modules.items()}


def _verb(name: str, module: ModuleType) -> Verb:
    options: set[str] = set()
    words: set[str] = set()
    arguments: set[str] = set()
    for action in parsing.parser_of(name, module)._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        options.update(action.option_strings)
        if not action.option_strings:
            words.update(action.choices or ())
            arguments.update(() if action.choices else (action.dest,))
    return Verb(name, options, words, arguments)


def sections(page: Path) -> dict[str, str]:
    """The sections of the commands page by command; `store serve` has one, beside `store`'s own."""
    found = {}
    for part in re.split(r"^## allie ", page.read_text(), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        words = heading.split()
        actions = getattr(main.module_of(words[0]), "ACTIONS", {})
        name = " ".join(words[: 2 if words[1:2] and words[1] in actions else 1])
        found[name] = f"{heading}\n{body}"
    return found


def options_in(text: str) -> set[str]:
    """The options that a text names in `…` or **…**."""
    paragraphs = text.split("\n\n")
    marked = [each for part in paragraphs for each in re.findall(r"`[^`]+`|\*\*[^*]+\*\*", part)]
    return {option for each in marked for option in _OPTION.findall(each)} - OTHERS_OPTIONS


@pytest.mark.parametrize("name", verbs())
def test_every_command_has_its_section(name: str) -> None:
    there = sections(COMMANDS)
    assert name in there, f"{COMMANDS}: no section ## allie {name}"
    verb, body = verbs()[name], there[name]
    assert options_in(body) >= verb.options
    assert not options_in(body) - verb.options - COMMON_OPTIONS, "there is no such option"
    for word in verb.words:
        assert re.search(rf"\b{word}\b", body), f"{name} {word} is not documented"
    for argument in verb.arguments - {"name"}:
        assert argument.upper() in body, f"{name}: {argument.upper()} is not documented"


def test_every_section_is_a_command() -> None:
    assert set(sections(COMMANDS)) == set(verbs())


def test_the_man_page_has_every_command_and_option() -> None:
    text = (MAN / "allie.8.md").read_text()
    every = set[str]().union(*(verb.options for verb in verbs().values()))
    assert options_in(text) - COMMON_OPTIONS == every
    for verb in verbs().values():
        marked = re.findall(r"\*\*([^*\n]+)\*\*", text)
        named = {word for each in marked for word in re.split(r"[ |]", each)}
        assert set(verb.name.split()) <= named, f"{verb.name} is missing"
        assert verb.words <= named, f"{verb.name} takes one of {verb.words}"


@pytest.mark.parametrize("page", [*pages(), *MAN_PAGES], ids=lambda page: page.name)
def test_no_page_names_a_command_that_is_not_there(page: Path) -> None:
    text = page.read_text()
    typed = [command.text for command in sessions(page)]
    typed += re.findall(r"`((?:allie|/root/conf/[a-z0-9-]+) [^`\n]+)`", text)
    for line in typed:
        for found in _TYPED.finditer(line):
            name = found.group(2)
            if not name.startswith("--") and name != "COMMAND":
                assert name in main.VERBS, f"{page.name}: {line}"
                known = verbs().get(f"{name} {found.group(3)}") or verbs()[name]
                unknown = options_in(f"`{line}`") - known.options - COMMON_OPTIONS
                assert not unknown, f"{page.name}: {line}"


def test_every_setting_is_documented_and_no_other() -> None:
    in_table = re.findall(
        r"^\| `\[(\w+)[^\]]*\]` \| `(\w+)` \|", (REFERENCE / "settings.md").read_text(), re.M
    )
    known = {(section, key) for section, keys in settings.KEYS.items() for key in keys}
    assert set(in_table) == known
    assert len(in_table) == len(known)
    man = (MAN / "allie.conf.5.md").read_text()
    for section, keys in settings.KEYS.items():
        body = man.partition(f"# SECTION [{section}")[2].partition("\n# ")[0]
        assert set(re.findall(r"^\*\*(\w+)\*\*$", body, re.M)) == set(keys)


def test_the_default_of_stall_is_the_documented_one() -> None:
    default = str(Settings._field_defaults["stall"])
    assert f"| {default} |" in (REFERENCE / "settings.md").read_text()
    assert f"Default: {default}." in (MAN / "allie.conf.5.md").read_text()


def test_the_example_of_the_settings_can_be_read() -> None:
    for page in (REFERENCE / "settings.md", MAN / "allie.conf.5.md"):
        block = re.search(r"^    \[allie\]\n(?:    .*\n|\n)+", page.read_text(), re.M)
        assert block
        text = re.sub(r"^    ", "", block.group(), flags=re.M)
        assert settings.parse(text, "debian12").overlays == ("kit", "common", "debian12")
        assert settings.unknown_keys(text) == []


def _all_errors(kind: type[errors.AllieError]) -> set[int]:
    return {kind.exit_code}.union(*(_all_errors(each) for each in kind.__subclasses__()))


def test_every_exit_code_is_documented_and_no_other() -> None:
    codes = _all_errors(errors.AllieError) | {errors.DONE, errors.ATTENTION}
    codes |= {128 + number for number in signals.STOPS}
    page = (REFERENCE / "exit-codes.md").read_text()
    of_allie = page.partition("## Of a conf script")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", of_allie, re.M)} == codes
    man = (MAN / "allie.8.md").read_text().partition("# EXIT STATUS")[2].partition("\n# ")[0]
    assert {int(code) for code in re.findall(r"^\*\*(\d+)\*\*$", man, re.M)} == codes


def test_every_header_is_documented_and_no_other() -> None:
    page = (REFERENCE / "scripts.md").read_text()
    man = (MAN / "allie-run-conf.8.md").read_text()
    named = set(re.findall(r"`# allie: ([a-z-]+)", page))
    assert named == set(re.findall(r"\*\*# allie: ([a-z-]+)", man))
    source = Path(rules.__file__).read_text()
    assert named == set(re.findall(r'word == "([a-z-]+)"', source))
    for line in re.findall(r"`(# allie: [^`]+)`", page):
        assert not rules.parse_headers(line.encode()).errors, line


def test_every_state_of_a_script_is_documented() -> None:
    page = (REFERENCE / "scripts.md").read_text()
    states = {"satisfied", "waiting", "failing", "due", "test"}
    assert set(re.findall(r"^\| `([a-z]+)` \| ", page, re.M)) == states
    man = (MAN / "allie-run-conf.8.md").read_text()
    body = man.partition("# STATES")[2].partition("\n# ")[0]
    assert set(re.findall(r"^\*\*([a-z]+)\*\*$", body, re.M)) == states


def test_what_a_script_gets_is_documented() -> None:
    source = "".join(
        (TOP / "src/allie/client" / name).read_text()
        for name in ("tick/whole_tick.py", "tick/script_process.py")
    )
    variables = set(re.findall(r'"((?:ALLIE|SYSTEMD)_[A-Z]+)"', source))
    assert len(variables) > 5
    for page in (REFERENCE / "scripts.md", MAN / "allie-run-conf.8.md"):
        named = set(re.findall(r"\b((?:ALLIE|SYSTEMD)_[A-Z]+)\b", page.read_text()))
        assert named == variables, page.name


def test_every_attribute_and_flag_of_a_tag_is_documented() -> None:
    page = (REFERENCE / "tags.md").read_text()
    assert tuple(re.findall(r"^\| `([a-z]+)\.NAME` ", page, re.M)) == tags.ATTRIBUTES
    man = (MAN / "allie-tags.7.md").read_text()
    assert tuple(re.findall(r"^\*\*([a-z]+)\.\W*NAME", man, re.M)) == tags.ATTRIBUTES
    for flag in tags.FLAGS:
        assert f"\n## {flag}\n" in page
        assert f"\n**{flag}**\n" in man


def test_the_tables_of_tags_agree_with_the_program() -> None:
    """Each `name##tag` in the reference and the manual is one that can match."""
    for page in (REFERENCE / "tags.md", MAN / "allie-tags.7.md"):
        for spelling in re.findall(r"\b[a-z.]+##[^\s`*]+", page.read_text()):
            assert not tags.unspell(spelling)[1].error, f"{page.name}: {spelling}"


def test_what_an_update_keeps_is_documented_and_no_more() -> None:
    page = (REFERENCE / "systems.md").read_text().partition("What is kept")[2]
    table = "".join(re.findall(r"^\|.*", page.partition("\n\nAll else")[0], re.M))
    assert set(re.findall(r"`([^`]+)`", table)) == set(own_files.KEEP)


def test_paths_that_are_never_placed_are_named() -> None:
    page = (
        (REFERENCE / "files.md").read_text().partition("## Never placed")[2].partition("\n\nA ")[0]
    )
    named = set(re.findall(r"`/([a-z/-]+)`", page))
    assert named >= set(forbidden_paths._TREES)
    assert all(
        forbidden_paths.refusal(path) or forbidden_paths.refusal(f"{path}/x") for path in named
    )
    assert f"{forbidden_paths._LONGEST} bytes" in page


@pytest.mark.parametrize(
    "page", [*pages(), TOP / "HACKING.md"], ids=lambda page: str(page.relative_to(TOP))
)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [TOP / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        names = (link.partition("#")[0] for link in links(page) if "://" not in link)
        ahead += [(page.parent / name).resolve() for name in names if name]
    lost = set(pages()) - seen - {DOCS / "README.md", DOCS / "dependencies.md"}
    lost -= {REFERENCE / "README.md"}
    assert not lost


def test_the_tutorial_stays_short() -> None:
    """What is promised: init, three files, serve; one rsync, one join. And looks at the result."""
    page = DOCS / "tutorial.md"
    typed = [(command.machine, command.text) for command in sessions(page)]
    server = [text for machine, text in typed if machine == "server"]
    pc = [text for machine, text in typed if machine != "server"]
    assert len(server) <= 9
    assert [text for text in server if text.startswith("allie ")] == [
        "allie store init",
        "allie store serve",
        "allie fleet",
    ]
    assert [text.split()[0] for text in pc[:2]] == ["rsync", "allie"]
    assert len(pc) <= 5
    assert len(page.read_text().splitlines()) <= 80


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_a_page_says_where_it_types_before_it_writes(page: Path) -> None:
    """Who comes by a link, and stands in /, would write and remove the server's own files."""
    in_overlay = re.compile(r"(^|[\s'])(etc|root|usr|opt|srv|var|home|boot|lib)/")
    typed = [each.text for each in sessions(page) if each.machine == "server"]
    first = next((at for at, text in enumerate(typed) if in_overlay.search(text)), len(typed))
    assert first == len(typed) or any(text.startswith("cd /srv/") for text in typed[:first])


def test_the_readme_stays_short() -> None:
    text = (TOP / "README.md").read_text()
    assert len(text.splitlines()) <= 92
    for word in ("store", "overlay", "variant", "conf script", "tick"):
        assert f"**{word}**" in text
    for command in ("make demo", "make test"):
        assert f"    {command} " in text


@pytest.mark.parametrize("page", MAN_PAGES, ids=lambda page: page.name)
def test_the_manual_fits_a_terminal(page: Path) -> None:
    """For whoever reads the file itself; `allie help` wraps its lines."""
    assert [line for line in page.read_text().splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("page", manual.PAGES)
def test_allie_help_shows_its_pages(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    file, section, _ = manual.PAGES[page].rsplit(".", 2)
    for name in (page, f"{file}({section})"):  # as pages name one another
        assert main.main(["help", name]) == 0
        assert "\nNAME\n" in capsys.readouterr().out
    assert {path.name for path in MAN_PAGES} == set(manual.PAGES.values())


def test_the_archive_carries_the_manual() -> None:
    """`allie help` works on a PC, also where the code runs from the archive itself."""
    code = (
        "import sys, zipfile; from allie.server import kit; import io;"
        "print('\\n'.join(zipfile.ZipFile(io.BytesIO(kit.archive())).namelist()))"
    )
    names = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert {f"allie/man/{path.name}" for path in MAN_PAGES} <= set(names)
