"""Sockets, timers and TLS: thin shells over the sans-IO core."""
