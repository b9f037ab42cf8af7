"""The exceptions that a user is meant to read, and how others are said in a line."""


class SimclrError(Exception):
    """Something the user can mend; the message says what is wrong and what to do next."""


class InUseError(SimclrError):
    """An output folder belongs to another run: nothing in it may be touched."""


def reason(error: BaseException) -> str:
    """What went wrong, in a line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
