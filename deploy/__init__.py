"""What puts clf into production; not a part of the wheel."""
