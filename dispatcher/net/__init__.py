"""Bytes from and to the network. Knows no job; it is handed the routes."""
