"""The exceptions that a user is meant to read."""


class SimclrError(Exception):
    """Something the user can mend; the message says what is wrong and what to do next."""


class InUseError(SimclrError):
    """An output folder belongs to another run: nothing in it may be touched."""
