"""Model files from Hugging Face: their names, where they lie on this machine, and how they get there when asked for."""
