"""What a period cost, what it brought in, and what was saved and wasted."""
