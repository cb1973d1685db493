"""What the training loops share: settings, run directories, checkpoints, EMA, schedules."""
