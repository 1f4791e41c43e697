"""What a client is set up with outside of the code: a TOML file, and the environment."""
