"""The virtual rack: machines with real firmware, NICs, disks and BMCs, without hardware."""
