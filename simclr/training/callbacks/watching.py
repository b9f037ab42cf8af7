"""Callbacks that only watch a training, and so may fail without ending it."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from simclr.reports.show import reason

logger = logging.getLogger(__name__)


def watching(hook: Callable[..., None]) -> Callable[..., None]:
    """Make the hook of a callback harmless: its first failure is a warning, and its last look."""

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
