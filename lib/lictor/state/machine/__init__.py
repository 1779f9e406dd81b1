"""How each command changes the state: one file per kind of record."""
