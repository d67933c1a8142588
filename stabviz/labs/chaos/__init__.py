"""Labs of chaotic systems."""
