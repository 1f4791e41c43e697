"""A recipe for small students: from messages and the answers that a larger model gave to a GGUF file with a gate."""
