"""Unit tests of the worker. A package, so that the tests of the ports can import the fakes."""
