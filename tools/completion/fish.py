"""Completion for fish: a line for each option and argument, held by what was typed before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tools.completion import commands
from tools.completion.commands import Command, Option

_HEAD = r"""# fish completion for allie(8), made from its parser

@LISTS@
# Whether what was typed is this COMMAND so far; with a number, and so many arguments of it; with
# a + behind the number, or more of them
function __allie_at
    set -l found
    set -l count 0
    set -l skip 0
    set -l ended 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test $ended = 1
            set count (math $count + 1)
        else if test "$word" = --
            set ended 1
        else if string match -q -- '-*' $word
            contains -- $word $__allie_valued; and set skip 1
        else if contains -- (string join ' ' -- $found $word) $__allie_commands
            set found $found $word
        else
            set count (math $count + 1)
        end
    end
    test "$found" = "$argv[1]"; or return 1
    set -q argv[2]; or return 0
    test $count = $argv[2]; and return 0
    set -q argv[3]; and test $count -gt $argv[2]
end

# The value of an option that stands on the command line, or the default
function __allie_value
    set -l typed (commandline -opc)
    set -l at (contains -i -- $argv[1] $typed)
    if test -n "$at"; and test $at -lt (count $typed)
        string replace -r '^~' $HOME -- $typed[(math $at + 1)]
    else
        echo $argv[2]
    end
end

function __allie_in_store
    set -l default /srv/allie
    set -q ALLIE_STORE; and test -n "$ALLIE_STORE"; and set default $ALLIE_STORE
    for each in (__allie_value --store $default)/$argv[1]/*/
        set -l parts (string split / -- $each)
        echo $parts[-2]
    end
end

# Lists with commas: what stands before the last comma stays
function __allie_list
    set -l before (string replace -r '[^,]*$' '' -- (commandline -ct))
    for each in (__allie_in_store $argv[1])
        echo $before$each
    end
end

function __allie_scripts
    for each in (__allie_value --root '' | string trim -r -c /)/root/conf/*
        string replace -rf '.*/(?=[0-9])' '' -- $each
    end
end

function __allie_systems
    set -l conf (__allie_value --root '' | string trim -r -c /)/etc/allie/allie.conf
    test -r $conf; and string replace -rf '^\[system +([^] ]+) *\].*' '$1' <$conf
end

complete -c allie -f
"""
_ACTIONS = {
    "directory": "-x -a '(__fish_complete_directories)'",
    "file": "-r -F",
    "system": "-x -a '(__allie_systems)'",
    "overlay": "-x -a '(__allie_in_store overlays)'",
    "overlays": "-x -a '(__allie_list overlays)'",
    "image": "-x -a '(__allie_in_store images)'",
    "images": "-x -a '(__allie_list images)'",
    "host": "-x -a '(__allie_in_store private)'",
    "script": "-x -a '(__allie_scripts)'",
    "command": "-x -a '(__fish_complete_command)'",
    "any": "-x",
}


def script(all_of_them: list[Command]) -> str:
    """The file, to be named `allie.fish`."""
    valued = {each.name for command in all_of_them for each in command.options if each.takes}
    valued |= {each.name for each in commands.GLOBAL if each.takes}
    lists = f"set -g __allie_valued {' '.join(sorted(valued))}\n"
    lists += f"set -g __allie_commands {' '.join(_quoted(each.name) for each in all_of_them)}\n"
    lines = [*_options("", commands.GLOBAL), *_actions("", commands.verbs(all_of_them))]
    for each in all_of_them:
        lines += _options(each.name, each.options)
        if " " not in each.name:
            lines += _actions(each.name, commands.actions_of(each.name, all_of_them))
        lines += _arguments(each)
    return _HEAD.replace("@LISTS@", lists) + "\n".join(lines) + "\n"


def _actions(name: str, actions: list[Command]) -> Iterator[str]:
    for each in actions:
        word = commands.last_word(each)
        yield f"{_at(name, '0')} -a {word} -d {_quoted(each.help)}"


def _options(name: str, options: Iterable[Option]) -> Iterator[str]:
    for each in options:
        plain = each.name.lstrip("-")
        form = "-l" if each.name.startswith("--") else "-s"
        takes = f" {_action(each.takes)}" if each.takes else ""
        yield f"{_at(name)} {form} {plain}{takes} -d {_quoted(each.help)}"


def _arguments(command: Command) -> Iterator[str]:
    for number, each in enumerate(command.arguments):
        if each.kind != "any":
            how = _action(each.kind).replace("-x ", "").replace("-r ", "")
            yield f"{_at(command.name, str(number) + ' +' * each.many)} {how}"


def _action(kind: str) -> str:
    if kind.startswith("of:"):
        return f"-x -a {_quoted(kind[3:].replace(',', ' '))}"
    return _ACTIONS[kind]


def _at(name: str, arguments: str = "") -> str:
    words = _quoted(" ".join(filter(None, ("__allie_at", f'"{name}"', arguments))))
    return f"complete -c allie -n {words}"


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "\\'"))
