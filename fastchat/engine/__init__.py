"""What orders and keeps the messages of rooms: the contract in `base`, in `memory` and `sqlite` what keeps it."""
