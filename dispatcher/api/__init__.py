"""What clients can ask for, and the protocols in which they ask."""
