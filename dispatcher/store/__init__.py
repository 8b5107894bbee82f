"""Where jobs are kept: SQLite, and a fake in memory that is held to the same contract."""
