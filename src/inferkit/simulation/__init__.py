"""A month of traffic in minutes: simulated users and providers around the real stack, on a clock of its own."""
