"""Labs of galaxies."""
