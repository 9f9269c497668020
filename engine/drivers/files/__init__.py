"""Copy, export and compare the files of containers."""
