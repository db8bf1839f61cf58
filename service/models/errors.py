"""The one error of this room, and how the errors of libraries are quoted in it."""

from rewright.service.errors import SettingsError


class ModelError(SettingsError):
    """A model cannot be had, or cannot do what it is wanted for.

    Its message names the setting, by the block's name that the caller gave, and the fix. The service shows it as the
    settings error that it is; the trainer as an error of its recipe.
    """


def first_line(error: BaseException) -> str:
    """What a library says of its trouble, without the rest of its story; its name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
