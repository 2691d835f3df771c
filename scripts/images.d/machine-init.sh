#!/bin/bash
# Process 1 of the image "machine" until systemd takes over: what a real machine's kernel and initrd leave behind, and a
# container does not have - cgroups that can be written to, and mounts that later mount namespaces hear of.
set -e
mount -o remount,rw /sys
awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts | while read -r mount; do mount -o remount,bind,rw "$mount"; done
if [ "$(stat -fc %T /sys/fs/cgroup)" = tmpfs ] && ! mountpoint -q /sys/fs/cgroup/unified; then
    mkdir -p /sys/fs/cgroup/unified
    mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
fi
mount --make-rshared /
exec /sbin/init
