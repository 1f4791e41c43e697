"""The process that runs the engine, and the application's side of it."""
