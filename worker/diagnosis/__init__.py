"""How this process gets on, over time, and whether its host holds it up."""
