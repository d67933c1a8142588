"""What several labs and instruments share and no library has. Pure functions; nothing here knows a System."""
