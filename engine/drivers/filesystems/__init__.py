"""Directories and tars: what containers write, how it is looked at, copied and thrown away."""
