"""The keys of a job as TrueNAS clients see it, in the order in which they are written."""

KEYS = [
    "id",
    "message_ids",
    "method",
    "arguments",
    "transient",
    "description",
    "abortable",
    "logs_path",
    "logs_excerpt",
    "progress",
    "result",
    "result_encoding_error",
    "error",
    "exception",
    "exc_info",
    "state",
    "time_started",
    "time_finished",
    "credentials",
]
