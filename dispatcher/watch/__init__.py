"""What the daemon watches besides jobs: the state of the system, and the log of life-preserver."""
