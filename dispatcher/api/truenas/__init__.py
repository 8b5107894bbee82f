"""The protocol of TrueNAS: JSON-RPC 2.0 over WebSocket."""
