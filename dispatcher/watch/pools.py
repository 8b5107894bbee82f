"""What `zpool list` says about the pools, and how much of that somebody should look at. Pure."""

from dispatcher.core.model import Value

# The columns by name: `zpool list` alone has other ones on other systems.
COLUMNS = (
    "name",
    "size",
    "allocated",
    "free",
    "expandsize",
    "fragmentation",
    "capacity",
    "dedupratio",
    "health",
    "altroot",
)
COMMAND = ("zpool", "list", "-H", "-o", ",".join(COLUMNS))
HEALTHY = "ONLINE"
UNHEALTHY_PRIORITY = 9
FULL_PRIORITY = 6
_FULL_PERCENT = 90.0


class Pool(Value, frozen=True):
    """One pool, each column as `zpool list` writes it."""

    name: str
    size: str
    allocated: str
    free: str
    expandsize: str
    fragmentation: str
    capacity: str
    dedupratio: str
    health: str
    altroot: str

    @property
    def priority(self) -> int:
        """From 0 (nothing to do) to 10."""
        if self.health != HEALTHY:
            return UNHEALTHY_PRIORITY
        return FULL_PRIORITY if _percent(self.capacity) > _FULL_PERCENT else 0


def read_pools(written: str) -> tuple[Pool, ...]:
    """Read the output of COMMAND; ValueError if it has other columns."""
    pools = []
    for one in written.splitlines():
        columns = one.split("\t")
        if len(columns) != len(COLUMNS) or not all(columns):
            raise ValueError(f"zpool list wrote {one[:120]!r}, not the {len(COLUMNS)} columns asked for")
        pools.append(Pool(*columns))
    return tuple(pools)


def _percent(text: str) -> float:
    try:
        return float(text.rstrip("%"))
    except ValueError:
        return 0.0  # "-" of a pool that is not there
