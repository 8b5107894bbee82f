"""Tasks: the named command lists of queues.yaml that programs call as methods."""
