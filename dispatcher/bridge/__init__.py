"""The bridge: the program between servers and clients that cannot reach each other, and our ends of it."""
