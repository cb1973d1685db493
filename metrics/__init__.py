"""Scores of generated pictures: each a function of arrays in memory, and `python -m metrics.faces` prints them all.

- `inception`: the FID Inception network: features, logits, and the cached features of a reference folder
- `distances`: FID, KID, precision and recall, Inception score, each from features extracted once
- `hog`: the share of pictures in which dlib's HOG detector finds exactly one face
- `face_embedding`: dlib's embedding of faces, the second feature space
- `memorisation`: distances to the nearest training picture
- `faces`: the command, and `score_faces` for pictures that are held in memory
"""


class Unavailable(Exception):
    """A score that cannot be computed here, while others can; the message says why and names the remedy in one line."""
