"""Measures the dispatcher beside a C loop and other job runners; `python -m bench` prints the tables."""
