"""HTTP/1.1 on any transport, TLS and WebSocket included; knows requests and replies, and nothing of containers."""
