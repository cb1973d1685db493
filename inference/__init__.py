"""What shipped or trained weights make: in Python by four classes, and as commands that write files."""

from inference.api import Autoencoder, Classifier, Digits, Faces

__all__ = ["Autoencoder", "Classifier", "Digits", "Faces"]
