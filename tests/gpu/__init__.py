"""The proof that awsdet works on a GPU: `make test-gpu` runs it there and writes one JSON (docs/gpu.md)."""
