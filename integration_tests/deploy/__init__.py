"""What checks the files of deploy/: tools that are built once, and schemas of others."""
