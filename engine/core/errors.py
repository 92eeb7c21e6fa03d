"""Errors that a user can cause. The message says what, where and what to do; pages show it as it is."""


class UserError(Exception):
    """Base of all errors that the user can fix."""


class ConfigError(UserError):
    """A request or hyperparameter that cannot work."""


class DataError(UserError):
    """A data set that is missing, partial, corrupt or too small."""


class RunError(UserError):
    """A run that does not exist, or cannot do what was asked in its state."""


class Diverged(UserError):
    """A quantity became NaN or infinite; the message says which, when, and what to try."""

    def __init__(self, message: str, *, quantity: str, step: int) -> None:
        super().__init__(message)
        self.quantity = quantity
        self.step = step
