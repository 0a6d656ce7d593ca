#!/bin/sh
# A hook of initramfs-tools, run in the image: what `allie install` needs goes along.
# Programs are put in /usr/local/sbin, before the small ones that an initramfs has of these names.
set -e
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions

for name in PROGRAMS; do
    from=$(command -v "$name") || continue
    copy_exec "$(readlink -f "$from")" "/usr/local/sbin/$name"
done

python=$(readlink -f /usr/bin/python3)
copy_exec "$python" /usr/bin/python3
library=$(/usr/bin/python3 -IS -c 'import os; print(os.path.dirname(os.__file__))')
mkdir -p "$DESTDIR$library"
(cd "$library" && tar -c -f - --exclude=__pycache__ --exclude='*.so' \
    --exclude=./test --exclude=./idlelib --exclude=./tkinter --exclude=./turtledemo \
    --exclude=./ensurepip --exclude=./lib2to3 --exclude=./pydoc_data --exclude=./site-packages \
    --exclude=./dist-packages --exclude='./config-*' .) | tar -x -f - -C "$DESTDIR$library"
for module in "$library"/lib-dynload/*.so; do
    [ ! -e "$module" ] || copy_exec "$module"
done
for module in /lib/*/libnss_dns.so.2 /lib/*/libnss_files.so.2 /lib64/libnss_dns.so.2; do
    [ ! -e "$module" ] || copy_exec "$module"
done

mkdir -p "$DESTDIR/usr/local/bin" "$DESTDIR/root" "$DESTDIR/tmp" "$DESTDIR/mnt" "$DESTDIR/var/lib"
cp /allie-installer/allie "$DESTDIR/usr/local/bin/allie"
cp /allie-installer/made "$DESTDIR/etc/allie-installer"
[ ! -e /allie-installer/layout ] || cp /allie-installer/layout "$DESTDIR/etc/allie-layout"
[ ! -e /etc/mke2fs.conf ] || cp /etc/mke2fs.conf "$DESTDIR/etc/mke2fs.conf"
[ ! -e /etc/services ] || cp /etc/services "$DESTDIR/etc/services"
[ -e "$DESTDIR/etc/passwd" ] || echo root:x:0:0:root:/root:/bin/sh >"$DESTDIR/etc/passwd"
[ -e "$DESTDIR/etc/group" ] || printf 'root:x:0:\ntty:x:5:\n' >"$DESTDIR/etc/group"
echo 'hosts: files dns' >"$DESTDIR/etc/nsswitch.conf"
echo 127.0.0.1 localhost >"$DESTDIR/etc/hosts"

manual_add_modules ext4 xfs btrfs vfat nls_cp437 nls_ascii nls_iso8859-1 efivarfs
