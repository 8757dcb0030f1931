"""Relations: what they shall be, the fewest requests to there, and carrying them out."""
