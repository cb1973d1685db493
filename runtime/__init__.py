"""What every program needs: device and precision, processes, seeds, files and images, one-line errors."""
