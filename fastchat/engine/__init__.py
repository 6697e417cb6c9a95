"""What orders and keeps the messages of rooms: the contract in `base`, the memory engine in `memory`."""
