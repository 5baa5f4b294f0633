"""The one exception that a user is meant to read."""


class UserError(Exception):
    """What the user gave cannot be used.

    The message is one sentence: which file or option, what was expected, what to do. Commands print it
    without a traceback and exit with status 1.
    """

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence, and not where in the toolkit it was said."""
        return [f"error: {self}"]
