"""What checkd decides, without I/O: definitions, check states, scheduling, anti-entropy."""
