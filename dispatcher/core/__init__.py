"""The pure heart: states, messages and rules. Nothing here waits, reads a clock or touches a disk."""
