"""The one error of this package: training or evaluating cannot go on, and the sentence says what to do."""


class TrainingError(Exception):
    """A person must act: the message is a whole sentence that says what is wrong, where, and what to do."""


class NoTermsError(TrainingError):
    """Not one term is left to learn from."""
