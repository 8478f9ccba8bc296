#!/bin/sh
# Boots the lab's guest, with its shell on this terminal. The arguments go to QEMU, which comes with its own libraries
# and so runs on any Linux.
root=$(dirname "$(readlink -f "$0")")/root
exec "$root/lib64/ld-linux-x86-64.so.2" --library-path "$root/usr/lib/x86_64-linux-gnu" \
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@" \
    -accel tcg -cpu max -nodefaults -no-user-config -display none -serial mon:stdio -no-reboot \
    -kernel "$root/boot/lab/vmlinuz" -initrd "$root/boot/lab/initramfs" \
    -append 'console=ttyS0 quiet panic=-1 mitigations=off lab.shell'
