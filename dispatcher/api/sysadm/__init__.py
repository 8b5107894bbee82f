"""The protocol of SysAdm: WebSocket and REST."""
