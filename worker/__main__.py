"""`python -m worker` is `clf`."""

from worker.cli import main

main(prog_name="clf")
