"""The compiled operators; `reference` holds the twin of each."""
