"""The labs: one folder a wing, one folder a lab."""
