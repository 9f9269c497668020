"""Dockerfile instructions that change an image's config."""
