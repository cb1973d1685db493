"""What everything that runs a network needs: errors, device, seeds, weights, images, sampling."""
