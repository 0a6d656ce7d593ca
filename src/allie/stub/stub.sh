#!/bin/sh
# Part of ALLiE's kit. Every script of the kit is this same text; its name says what to do.
# allie: every tick
#
# A client that cannot even start must not stop the next fetch: it removes the mark once it has
# started well, and if the mark is still there, the last client that did a whole tick takes over.
# Who stops this shell (Ctrl-C, `systemctl stop`) means the client, which then ends what it began.
umask 022
mark=/run/allie/starting.$$
[ -d /run/allie ] || mkdir -p /run/allie 2>/dev/null
: 2>/dev/null >"$mark" || { mark=$(mktemp) && : >"$mark"; }
stopped= client=
stop() {
	trap '' HUP INT QUIT TERM
	stopped=$1
	[ -z "$client" ] || kill -TERM "$client" 2>/dev/null
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 131' QUIT
trap 'stop 143' TERM
ALLIE_STARTING=$mark /usr/local/bin/allie "${0##*/}" "$@" &
client=$!
[ -z "$stopped" ] || stop "$stopped"
wait "$client"
status=$?
if [ -n "$stopped" ]; then # and so had an end before the client
	wait "$client"
	rm -f "$mark"
	exit "$stopped"
fi
trap - HUP INT QUIT TERM
[ -e "$mark" ] || exit "$status"
rm -f "$mark"
[ -x /var/lib/allie/last-good ] || exit "$status"
echo "allie: the client does not start; the last good one takes over" >&2
exec /var/lib/allie/last-good "${0##*/}" "$@"
