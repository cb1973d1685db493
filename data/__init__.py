"""From files to batches: the data tree, its loaders and device-resident batches."""


class DataError(Exception):
    """A data file or folder the user can put right; the message names it and the remedy in one line."""
