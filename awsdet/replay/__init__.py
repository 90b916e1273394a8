"""Keeps the step in which a run failed, runs it again, and finds where numbers that are not finite came from."""
