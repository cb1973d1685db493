"""Everything that measures: functions of arrays in memory, and the commands that read files and write scores."""

from runtime.errors import UserError


class Unavailable(UserError):
    """A score that cannot be computed here, while others can; the message says why and names the remedy in one line."""
