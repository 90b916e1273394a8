"""Checks MLPerf results with the checkers of MLCommons, and scores them."""
