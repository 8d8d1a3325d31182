"""`clf demo`: the whole system at work on the sample corpus, with nothing prepared and nothing left behind."""
