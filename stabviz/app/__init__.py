"""The pages: one app at one address, whose query decides what is shown."""
