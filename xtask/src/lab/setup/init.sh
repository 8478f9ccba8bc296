#!/bin/sh
# The first process of a guest: sets it up, then serves the host's commands on the second serial port.
#
#   host:  RUN <id> <command>
#   guest: BEGIN <id>, what the command printed, END <id> <exit status>
#
# At each start the guest says READY.
export PATH=/usr/sbin:/usr/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /dev/pts /run/netns
mount -t devpts pts /dev/pts

# A guest with several adapters answers ARP only for the address of the adapter that was asked.
sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
# Addresses are usable at once, and no router is waited for.
sysctl -q net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
ip link set lo up
for module in failover net_failover virtio_net ixgbevf 8021q; do
    modprobe "$module"
done

# A person drives.
if grep -q lab.shell /proc/cmdline; then
    echo "The guest is up; poweroff -f ends it."
    setsid cttyhack /bin/sh
    poweroff -f
fi

port=/dev/ttyS1
stty -F "$port" raw -echo
exec 3<>"$port"
echo READY >&3
while IFS=' ' read -r verb id command <&3; do
    [ "$verb" = RUN ] || continue
    # By way of a file: a command that sees a terminal would colour its output.
    sh -c "$command" </dev/null >/run/output 2>&1 3>&-
    status=$?
    { echo "BEGIN $id"; cat /run/output; printf '\nEND %s %s\n' "$id" "$status"; } >&3
done
# The host is gone.
poweroff -f
