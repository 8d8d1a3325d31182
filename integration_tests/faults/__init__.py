"""The fault suite: real workers on real brokers, faults at random and at named points, and an audit afterwards.

`make faults` runs it whole and `python -m integration_tests.faults --help` in parts; a short part with a fixed seed is
in `make test`. Each fault has four phases: warm (workers get their partitions), steady, fault, recovery. Then
`clf verify --recompute 1` must find nothing, a reader that was there all the time must have seen what is in the topics
now, and what the fault itself promises must hold.

Faults happen at one broker, at one of three, or at small disks; those take root to be mounted, and without it a fault
that needs one is skipped, which the report says.
"""
