"""Callers that mean no good, against the open ports of real processes; `make fuzz-ports` runs them for minutes."""
