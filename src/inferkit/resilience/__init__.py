"""What is known of models that fail, and what follows from it: pure state that is told the time and never waits."""
