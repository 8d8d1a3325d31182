"""From labelled documents to an evaluated model bundle. Never imports worker."""
