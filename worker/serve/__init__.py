"""What a process shows the outside: HTTP, metrics."""
