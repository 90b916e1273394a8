"""Necks: features of a backbone in, a pyramid of equal width out."""
