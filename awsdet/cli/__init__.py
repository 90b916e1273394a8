"""The commands: each takes flags and returns an exit code."""
