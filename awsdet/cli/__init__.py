"""Commands: flags in, exit codes out."""
