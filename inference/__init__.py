"""Commands that turn shipped or trained weights into files; they need nothing but a weights file."""
