"""What counts as one place."""

APART_M = 2.5
"""Views, poses and landmarks that are further apart are in two places. Heads of an ensemble that
know the same border agree within it (docs/method.md, "Ensembles").
"""
