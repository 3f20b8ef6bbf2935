#!/bin/sh
# First stage of the boot OS, in the kernel's initramfs. It mounts the squashfs that came in the same archive, lays
# a tmpfs over it, copies /overlay (from later initrds: our scripts, vendor tools, the boot seed) over that, and
# hands over. Nothing is decompressed but the blocks that are read.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t devtmpfs dev /dev
$B modprobe loop; $B modprobe squashfs; $B modprobe overlay
stop() { echo "bootos: stopped: $*" >/dev/console; while :; do $B sleep 3600; done; }
$B mount -t squashfs -o ro,loop /root.squashfs /mnt/ro || stop "the squashfs of base.img does not mount"
$B mount -t tmpfs -o mode=755,size=80% rw /mnt/rw
$B mkdir /mnt/rw/upper /mnt/rw/work
$B mount -t overlay -o lowerdir=/mnt/ro,upperdir=/mnt/rw/upper,workdir=/mnt/rw/work overlay /mnt/new || stop "no overlay"
[ -x /overlay/init ] || stop "no /overlay/init: the boot script must load overlay.cpio as an initrd after base.img"
$B cp -a /overlay/. /mnt/new/
$B umount /dev
$B umount /proc
exec $B switch_root /mnt/new /init
