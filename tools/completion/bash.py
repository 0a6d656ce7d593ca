"""Completion for bash: a table of the commands, and a function that reads it.

Of bash-completion only the loader is used, which finds this file. What is offered comes from the
table, from `/etc/allie/allie.conf` and from the store's directories, read by bash itself: no
program is started.
"""

from __future__ import annotations

from collections.abc import Iterable

from tools.completion import commands
from tools.completion.commands import Command, Option

_TABLE = """\
# What a command takes: sets `actions`, `options` (--name or --name=KIND) and `arguments` (KIND, or
# KIND* for as many as one likes).
_allie_table() {
    actions= options= arguments=
    case $1 in
@ROWS@
    esac
}
"""
_FUNCTIONS = r"""
# The names below a directory of the store
_allie_in_store() {
    local each place=${store:-${ALLIE_STORE:-/srv/allie}}
    for each in "$place/$1"/*/; do
        [[ -d $each ]] && each=${each%/} && names+=("${each##*/}")
    done
}

# Offer what there is of a kind
_allie_offer() {
    local names=() before= line
    case $1 in
        of:*) IFS=, read -ra names <<<"${1#of:}" ;;
        directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
        file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        command) mapfile -t COMPREPLY < <(compgen -c -- "$cur"); return ;;
        overlay | overlays) _allie_in_store overlays ;;
        image | images) _allie_in_store images ;;
        host) _allie_in_store private ;;
        script)
            for line in "${root%/}"/root/conf/[0-9]*; do
                [[ -f $line ]] && names+=("${line##*/}")
            done
            ;;
        system)
            [[ -r ${root%/}/etc/allie/allie.conf ]] || return
            while read -r line || [[ $line ]]; do
                [[ $line =~ ^\[system\ +([^]\ ]+)\ *\] ]] && names+=("${BASH_REMATCH[1]}")
            done <"${root%/}/etc/allie/allie.conf"
            ;;
    esac
    [[ $1 == overlays || $1 == images ]] && before=${cur%"${cur##*,}"}
    for line in "${names[@]}"; do
        [[ $line == *[!A-Za-z0-9._+-]* ]] && continue # no name of ours, and bash would not quote it
        [[ $before$line == "$cur"* ]] && COMPREPLY+=("$before$line")
    done
}

# What an option takes, by the table's row: sets `takes`
_allie_takes() {
    local each
    takes=
    for each in $options; do
        [[ $each == "$1"=* ]] && takes=${each#*=}
    done
}

_allie() {
    local cur=${COMP_WORDS[COMP_CWORD]} actions options arguments takes=
    local root= store= command= option= word at=0 ended= i kinds
    COMPREPLY=()
    [[ $cur == = ]] && cur=
    _allie_table ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $word == = && $takes ]] && continue
        if [[ $takes ]]; then
            [[ $option == --root ]] && root=${word/#\~/$HOME}
            [[ $option == --store ]] && store=${word/#\~/$HOME}
            takes=
        elif [[ $ended ]]; then
            at=$((at + 1))
        elif [[ $word == -- ]]; then
            ended=1
        elif [[ $word == -* ]]; then
            option=$word
            _allie_takes "$word"
        elif [[ " $actions " == *" $word "* ]]; then
            command="${command:+$command }$word"
            _allie_table "$command"
        else
            at=$((at + 1))
        fi
    done
    if [[ $takes ]]; then
        _allie_offer "$takes"
    elif [[ $cur == -* && ! $ended ]]; then
        for word in $options; do
            [[ ${word%%=*} == "$cur"* ]] && COMPREPLY+=("${word%%=*}")
        done
    elif [[ $actions ]]; then
        _allie_offer "of:${actions// /,}"
    else
        read -ra kinds <<<"$arguments"
        word=${kinds[at]-}
        [[ ! $word && $arguments == *\* ]] && word=${kinds[-1]}
        [[ $word ]] && _allie_offer "${word%\*}"
    fi
} && complete -F _allie allie
"""


def script(all_of_them: list[Command]) -> str:
    """The file, to be named `allie`."""
    verbs = commands.verbs(all_of_them)
    rows = [_row("", verbs, commands.GLOBAL, ())]
    for each in all_of_them:
        actions = [] if " " in each.name else commands.actions_of(each.name, all_of_them)
        kinds = tuple(kind.kind + "*" * kind.many for kind in each.arguments)
        rows.append(_row(each.name, actions, each.options, kinds))
    head = "# bash completion for allie(8), made from its parser; shellcheck shell=bash\n\n"
    return head + _TABLE.replace("@ROWS@", "\n".join(rows)) + _FUNCTIONS


def _row(
    name: str, actions: Iterable[Command], options: Iterable[Option], kinds: tuple[str, ...]
) -> str:
    """What a case of the table sets."""
    words = {
        "actions": [commands.last_word(each) for each in actions],
        "options": [f"{each.name}{'=' * bool(each.takes)}{each.takes}" for each in options],
        "arguments": list(kinds),
    }
    sets = [f"{' ' * 12}{key}='{' '.join(its)}'" for key, its in words.items() if its]
    return "\n".join([f"{' ' * 8}'{name}')", *sets, f"{' ' * 12};;"])
