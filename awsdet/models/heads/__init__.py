"""Heads: features in, raw outputs out."""
