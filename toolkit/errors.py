"""The one exception that a user is meant to read."""


class UserError(Exception):
    """What the user gave cannot be used.

    The message is one sentence: which file or option, what was expected, what to do. Verbs print it
    without a traceback and exit with status 1.
    """
