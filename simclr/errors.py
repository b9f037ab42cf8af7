"""The one exception a user is meant to read."""


class SimclrError(Exception):
    """Something the user can mend; the message says what is wrong and what to do next."""
