"""The status page at `/` of the HTTP port: for a person with a browser. Everything on it is told by metrics too."""
