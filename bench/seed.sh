#!/bin/sh
# The seed in plain shell, run in the PC's own root: seed.sh RSYNC-URL HOST
# It knows name##host.NAME and name##class.NAME, with nothing else in a tag; host beats class.
url=$1 host=$2 state=/var/lib/seed
mirror=$state/mirror
mkdir -p "$mirror" /root/done

# 00overlay: fetch, keep the list of what came, lay down the files that have no variants
rsync -a --delete --out-format=%n "$url/" "$mirror/" >"$state/fetched" || exit 1
(cd "$mirror" && find . -name '*##*') | sed 's/^\.//; s/##.*//' | sort -u >"$state/tagged"
rsync -a --exclude='*##*' --exclude-from="$state/tagged" "$mirror/" / || exit 1

# 01overact: the classes of this host, then the best variant of each name that has any
classes=
set -f
while read -r class members; do
    for member in $members; do
        case $member in
        *\[*-*\])
            range=${member#*\[} range=${range%\]}
            for number in $(seq -w "${range%-*}" "${range#*-}"); do
                [ "${member%%\[*}$number" = "$host" ] && classes="$classes ${class%:}"
            done ;;
        "$host") classes="$classes ${class%:}" ;;
        esac
    done
done <"$mirror/etc/allie/classes"
set +f
while read -r name; do
    best=$mirror$name
    for class in $classes; do
        [ -e "$mirror$name##class.$class" ] && best=$mirror$name##class.$class
    done
    [ -e "$mirror$name##host.$host" ] && best=$mirror$name##host.$host
    [ ! -e "$best" ] || cmp -s "$best" "$name" || { mkdir -p "${name%/*}" && cp -p "$best" "$name"; }
done <"$state/tagged"

# run-conf: each script until it exits 0
for script in /root/conf/[0-9][0-9]*; do
    [ -x "$script" ] && [ ! -e "/root/done/${script##*/}" ] || continue
    "$script" && : >"/root/done/${script##*/}"
done
