# ALLiE's installer: initramfs-tools reads this as /scripts/allie, and calls mountroot. Nothing is
# mounted as root: `allie install` does its work from here, with the answers of the kernel line:
#   allie.NAME=VALUE   --NAME VALUE of allie install
#   allie.NAME         --NAME
#   allie.end=WHAT     afterwards: reboot (the default), poweroff or shell
#   allie.shell        where it fails, a root shell at the console; else whoever stands there has none

# The arguments of `allie install` that a kernel line gives, one a line.
allie_arguments() {
    for allie_word in $1; do
        case $allie_word in
        allie.end=* | allie.shell) ;;
        allie.?*=*)
            allie_word=${allie_word#allie.}
            printf '%s\n%s\n' "--${allie_word%%=*}" "${allie_word#*=}"
            ;;
        allie.?*) printf '%s\n' "--${allie_word#allie.}" ;;
        esac
    done
}

# What is to be done when all is well.
allie_end() {
    allie_then=reboot
    for allie_word in $1; do
        case $allie_word in
        allie.end=*) allie_then=${allie_word#allie.end=} ;;
        esac
    done
    echo "$allie_then"
}

allie_network() {
    case " $1 " in
    *" ip="*) ;;
    *) IP=dhcp ;;
    esac
    configure_networking
    for allie_lease in /run/net-*.conf; do
        [ -e "$allie_lease" ] || continue
        IPV4DNS0= IPV4DNS1= DNSDOMAIN= HOSTNAME=
        . "$allie_lease"
        [ -z "$HOSTNAME" ] || hostname "$HOSTNAME"
        : >/etc/resolv.conf
        [ -z "$DNSDOMAIN" ] || echo "search $DNSDOMAIN" >>/etc/resolv.conf
        for allie_server in "$IPV4DNS0" "$IPV4DNS1"; do
            case $allie_server in
            "" | 0.0.0.0) ;;
            *) echo "nameserver $allie_server" >>/etc/resolv.conf ;;
            esac
        done
    done
}

# The kernel has read the PC's clock. One with an empty battery is at least set to when we were made.
allie_clock() {
    [ "$(date +%s)" -ge "$ALLIE_MADE" ] || date -s "@$ALLIE_MADE" >/dev/null
}

allie_install() {
    IFS='
'
    set -f
    set -- $(unset IFS && allie_arguments "$1")
    set +f
    unset IFS
    [ ! -e /etc/allie-layout ] || set -- --layout /etc/allie-layout "$@" # the last one counts
    echo "allie: allie install $*"
    allie install "$@"
}

# It did not work: what then follows is for the kernel line to say.
allie_failed() {
    case " $1 " in
    *" allie.shell "*)
        panic=
        panic "allie: not installed: the reason is above. This is a shell; \`exit\` tries again."
        ;;
    *" panic="*) panic "allie: not installed: the reason is above." ;; # initramfs-tools reboots
    *)
        echo "allie: not installed: the reason is above. Enter tries again."
        read -r allie_word </dev/console || sleep 60
        ;;
    esac
}

mountroot() {
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
    . /etc/allie-installer
    allie_line=$(cat /proc/cmdline)
    echo "allie: the installer of $ALLIE_FROM"
    wait_for_udev 10
    [ ! -d /sys/firmware/efi ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars || true
    allie_clock
    while true; do
        allie_network "$allie_line"
        if allie_install "$allie_line" </dev/console; then
            break
        fi
        allie_failed "$allie_line"
    done
    sync
    case $(allie_end "$allie_line") in
    poweroff) echo "allie: installed; power off" && poweroff -f ;;
    shell) panic= && panic "allie: installed; this is a shell, and \`exit\` reboots" ;;
    esac
    echo "allie: installed; reboot"
    reboot -f
    sleep 60
}
