"""Measurements: the worker beside references, in one run on one machine."""
