"""The program that listens on a port already, for the sentence that says so. Blocks."""


def holder_of(port: int) -> str:
    """Name it as `nginx (pid 123)`; "" if it is not ours to see."""
    # Imported here: a start that goes well does not need it.
    import psutil  # noqa: PLC0415

    try:
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f"{psutil.Process(one.pid).name()} (pid {one.pid})"
    except (psutil.Error, OSError, NotImplementedError, RuntimeError):
        pass  # other users' sockets may be hidden from us
    return ""
