"""What orders and keeps the messages of rooms: the contract in `base`, engines in `memory` and `sqlite`."""
