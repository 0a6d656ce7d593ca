#!/bin/sh
# Part of ALLiE's kit. Every script of the kit is this same text; its name says what to do.
# allie: every tick
#
# A client that cannot even start must not stop the next fetch: it removes the mark once it has
# started well, and if the mark is still there, the last client that did a whole tick takes over.
umask 022
mark=/run/allie/starting.$$
[ -d /run/allie ] || mkdir -p /run/allie 2>/dev/null
: 2>/dev/null >"$mark" || { mark=$(mktemp) && : >"$mark"; }
ALLIE_STARTING=$mark /usr/local/bin/allie "${0##*/}" "$@"
status=$?
[ -e "$mark" ] || exit "$status"
rm -f "$mark"
[ -x /var/lib/allie/last-good ] || exit "$status"
echo "allie: the client does not start; the last good one takes over" >&2
exec /var/lib/allie/last-good "${0##*/}" "$@"
