"""What every program needs: command line, device and precision, processes, seeds, files and images, one-line errors."""
