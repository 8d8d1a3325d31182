"""The dashboard, made from code."""
