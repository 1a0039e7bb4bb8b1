"""The error of an experiment that was asked for something it cannot have."""


class InputError(ValueError):
    """A setting or a file that cannot be used; the one line names it, what was wanted and what came."""
