"""Starts awsdet on many machines, watches the processes, and ends them."""
