"""How commands are run: the pool in the supervisor, the spawner, the workers.

Below the pool only the standard library is imported: workers stay small.
"""
