"""Cache laboratory: what a key-value cache loses when it keeps less, by policy: bytes, loss, retrieval and KL."""
