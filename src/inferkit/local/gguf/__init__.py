"""GGUF files: what they hold, read with suspicion, and nothing about who runs them."""
