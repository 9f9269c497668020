"""Images on the disk and from registries: blobs, layers, archives."""
