"""Installers: a kernel and initramfs, and an image for a CD or a USB stick."""
