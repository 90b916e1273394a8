"""An exported detector behind HTTP: `awsdet serve`.

    clients ──► transport (HTTP/1.1) ──► service (routes) ──► model (queue) ──► worker (its own process: TensorFlow)

The server's process imports no TensorFlow, so that it answers at once, and lives on if the model's process is killed.
"""
