"""Where members of a group that come one at a time meet, and are scored as one."""
