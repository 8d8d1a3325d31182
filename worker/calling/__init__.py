"""What `worker.client` is made of: where servers are, which to call, and when to call another one too."""
