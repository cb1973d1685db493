"""From files to batches: the data tree, its loaders and batches on the device."""
