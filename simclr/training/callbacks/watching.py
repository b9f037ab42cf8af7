"""Callbacks that only watch a training; their failure must not end it."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from simclr.errors import reason

logger = logging.getLogger(__name__)


def watching(hook: Callable[..., None]) -> Callable[..., None]:
    """Turn the first failure of a callback's hook into a warning, and do not call it again."""

    @wraps(hook)
    def look(self: Any, *arguments: Any) -> None:
        failed: set[str] = self.__dict__.setdefault("_failed", set())
        if hook.__name__ in failed:
            return
        try:
            hook(self, *arguments)
        except Exception as error:
            failed.add(hook.__name__)
            name = type(self).__name__
            logger.warning("%s failed, and training goes on without: %s", name, reason(error))

    return look
