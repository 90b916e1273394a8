"""The version of awsdet."""

__version__ = "0.1.0"
