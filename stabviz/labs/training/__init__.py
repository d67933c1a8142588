"""Labs of training dynamics."""
