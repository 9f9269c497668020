"""A real daemon on the real kernel, and everything that can befall it: dying anywhere is boring."""
