"""Completion for zsh: a function for each command, of what `_arguments` understands."""

from __future__ import annotations

from tools.completion import commands
from tools.completion.commands import Argument, Command, Option

_HEAD = r"""#compdef allie
# zsh completion for allie(8), made from its parser

# The value of an option that stands on the command line, or the default
_allie_value() {
  local at=${typed[(i)$1]}
  (( at < $#typed )) && REPLY=${typed[at+1]/#\~/$HOME} || REPLY=$2
}

_allie_in_store() {
  local REPLY place=$1
  local -a names
  shift
  _allie_value --store ${ALLIE_STORE:-/srv/allie}
  names=($REPLY/$place/*(-/N:t))
  compadd "$@" -a names
}

_allie_overlays() { _allie_in_store overlays "$@" }
_allie_images() { _allie_in_store images "$@" }
_allie_hosts() { _allie_in_store private "$@" }

_allie_scripts() {
  local REPLY
  local -a names
  _allie_value --root ''
  names=(${REPLY%/}/root/conf/[0-9]*(-.N:t))
  compadd "$@" -a names
}

_allie_systems() {
  local REPLY line
  local -a names match mbegin mend
  _allie_value --root ''
  [[ -r ${REPLY%/}/etc/allie/allie.conf ]] || return 1
  while read -r line || [[ -n $line ]]; do
    [[ $line =~ '^\[system +([^] ]+) *\]' ]] && names+=($match[1])
  done <${REPLY%/}/etc/allie/allie.conf
  compadd "$@" -a names
}
"""
_TAIL = """
_allie_allie "$@"
"""
_ACTIONS = {
    "directory": "_files -/",
    "file": "_files",
    "system": "_allie_systems",
    "overlay": "_allie_overlays",
    "overlays": "_sequence _allie_overlays",
    "image": "_allie_images",
    "images": "_sequence _allie_images",
    "host": "_allie_hosts",
    "script": "_allie_scripts",
    "command": "_normal",
    "any": " ",
}


def script(all_of_them: list[Command]) -> str:
    """The file, to be named `_allie`."""
    top = Command("allie", "", commands.GLOBAL, ())
    made = [_with_actions(top, commands.verbs(all_of_them))]
    for each in all_of_them:
        actions = [] if " " in each.name else commands.actions_of(each.name, all_of_them)
        made.append(_with_actions(each, actions) if actions else _alone(each))
    return _HEAD + "".join(made) + _TAIL


def _function(name: str) -> str:
    return f"_allie_{name.replace(' ', '_')}"


def _alone(command: Command) -> str:
    specs = [*map(_option, command.options), *_arguments(command.arguments)]
    return f"\n{_function(command.name)}() {{\n  _arguments -S{_lines(specs)}\n}}\n"


def _with_actions(command: Command, actions: list[Command]) -> str:
    """What is said before an action, the actions, and the action's own function for the rest."""
    described = "".join(
        f"\n    {_quoted(f'{commands.last_word(each)}:{each.help}')}" for each in actions
    )
    specs = [*map(_option, command.options), "'1:command:->command'", "'*::argument:->argument'"]
    is_top = command.name == "allie"
    own = "_allie" if is_top else _function(command.name)
    first = "  local -a typed=($words)\n" if is_top else ""
    return f"""
{_function(command.name)}() {{
  local curcontext=$curcontext state line
  typeset -A opt_args
{first}  local -a actions=({described}
  )
  _arguments -C -S -A '-*'{_lines(specs)} && return
  case $state in
    command) _describe command actions ;;
    argument) (( $+functions[{own}_$words[1]] )) && {own}_$words[1] ;;
  esac
}}
"""


def _option(option: Option) -> str:
    equals = "=" if option.takes and option.name.startswith("--") else ""
    text = option.help.replace("\\", "\\\\").replace("[", r"\[").replace("]", r"\]")
    value = f":{option.name.lstrip('-')}:{_action(option.takes)}" if option.takes else ""
    return _quoted(f"{option.name}{equals}[{text}]{value}")


def _arguments(arguments: tuple[Argument, ...]) -> list[str]:
    made = []
    for number, each in enumerate(arguments, 1):
        place = str(number)
        if each.many:
            place = "*:" if each.kind == "command" else "*"
        made.append(_quoted(f"{place}:{each.name}:{_action(each.kind)}"))
    return made


def _action(kind: str) -> str:
    if kind.startswith("of:"):
        return f"({kind[3:].replace(',', ' ')})"
    return _ACTIONS[kind]


def _lines(specs: list[str]) -> str:
    return "".join(f" \\\n    {each}" for each in specs)


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "'\\''"))
