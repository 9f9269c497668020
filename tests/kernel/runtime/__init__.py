"""Test what happens between fork and execve, against the real kernel: bundles without an engine."""
