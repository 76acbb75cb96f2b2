"""Summaries of an accuracy matrix A of shape (T, T): A[n, k] is the test accuracy on task k after training task n.

Entries above the diagonal are NaN: those tasks have not been seen.
"""

import numpy as np


def average_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean test accuracy of the tasks seen so far, after each task (Figure 5), (T,)."""
    return np.nanmean(matrix, axis=1)


def final_accuracy(matrix: np.ndarray) -> float:
    """The last of these: of all tasks, at the end."""
    return float(average_accuracy(matrix)[-1])


def learning_accuracy(matrix: np.ndarray) -> float:
    """Mean over all tasks of the accuracy right after their training."""
    return float(matrix.diagonal().mean())


def spread(matrix: np.ndarray) -> np.ndarray:
    """Standard deviation over the tasks seen so far, after each task (Figure 6), (T,). Population form, 0 for one."""
    return np.nanstd(matrix, axis=1)


def forgetting(matrix: np.ndarray) -> float:
    """Mean over all tasks but the last of best accuracy before the end minus accuracy at the end.

    Chaudhry et al. 2018, equation 3. 0 for a single task.
    """
    if len(matrix) == 1:
        return 0.0
    return float(np.mean(np.nanmax(matrix[:-1, :-1], axis=0) - matrix[-1, :-1]))
