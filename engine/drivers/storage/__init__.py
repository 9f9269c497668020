"""The container's directories and writable layer on the disk."""
