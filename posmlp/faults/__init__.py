"""The fault campaign: runs that are killed, compared with runs that are not."""
