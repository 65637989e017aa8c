//! nightshift-qemu
