"""What the calls of a period would have cost and brought in under other plans, limits and prices."""
