"""The output of commands on disk: written by workers, read by the supervisor."""
