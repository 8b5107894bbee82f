"""Classes: command templates from a YAML file, by which clients queue jobs and ask quick questions."""
