"""allie.conf as INI: what each section says, by two readers that agree (`tests/unit/test_lean`)."""

from __future__ import annotations

from allie.core.errors import SettingsError
from allie.core.lean import configparser

Sections = dict[str, dict[str, str]]  # key → value, by title


def sections(text: str) -> Sections:
    """What a text of INI says. Raises SettingsError where it is none."""
    text = text.removeprefix("\ufeff")  # what Notepad begins with
    said = plainly_said(text)
    return by_all_rules(text) if said is None else said


def plainly_said(text: str) -> Sections | None:
    """What nearly every allie.conf says: each line is a section, a key or a comment, and is whole.

    None for any other, which is for configparser: to load that takes a whole tick 3 ms.
    """
    found: Sections = {}
    for line in text.split("\n"):
        words = line.strip()
        if not words or words[0] in "#;":
            continue
        if line[0].isspace() or ";" in words:
            return None
        title = words[1:-1]
        if words == f"[{title}]" and title and not {*"[]\0"} & {*title} and title not in found:
            section = found[title] = {}
            continue
        at = min(words.find(sign) % (len(words) + 1) for sign in "=:")
        key = words[:at].rstrip().lower()
        if words[0] == "[" or at == len(words) or not key or not found or key in section:
            return None
        section[key] = words[at + 1 :].strip()
    return found


def by_all_rules(text: str) -> Sections:
    """What configparser reads in it. Raises SettingsError where it is no INI."""
    ini = configparser.ConfigParser(
        interpolation=None, inline_comment_prefixes=(";",), default_section="\0none"
    )
    try:
        ini.read_string(text, "allie.conf")
    except configparser.Error as error:
        raise SettingsError(_unreadable(error), "man 5 allie.conf, or `allie help conf`") from error
    return {title: dict(ini[title]) for title in ini.sections()}


def _unreadable(error: configparser.Error) -> str:
    """Which line of an allie.conf is no INI, and what is wrong with it."""
    lines = getattr(error, "errors", None)
    number, text = lines[0] if lines else (getattr(error, "lineno", 0), "")
    text = text.replace("\\n", "")  # it is a line's repr()
    words = f"{text} is neither [section] nor key = value"
    if isinstance(error, configparser.MissingSectionHeaderError):
        words = f"{error.line.strip()!r} stands before the first [section]"
    elif isinstance(error, (configparser.DuplicateOptionError, configparser.DuplicateSectionError)):
        words = f"{getattr(error, 'option', '') or f'[{error.section}]'} is there twice"
    return f"allie.conf, line {number}: {words}"
