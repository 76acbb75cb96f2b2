"""ALASSO and its rivals: continual learning as "loss of the new task + a surrogate for the loss of the past"."""

__version__ = "0.1.0"
