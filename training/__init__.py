"""What only training needs: shared settings, run directory, checkpoints, EMA, processes."""
