"""What a map without an accuracy on held-out images is worth."""

NOT_VALIDATED = (
    "it was never judged by images with known poses: from which share of inliers a pose is right, "
    "and how large its covariance has to be, is not known, and taken as if nothing had to be "
    "corrected"
)
"""What to say of a map with no accuracy on held-out images, before "it" is in use."""
