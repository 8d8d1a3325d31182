"""Tests against a real broker and real processes."""
