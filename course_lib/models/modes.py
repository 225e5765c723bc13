"""The modes of a network: training, where batch statistics and dropout act, and evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(network: nn.Module) -> Iterator[nn.Module]:
    """Run a network in evaluation mode for the time of a with statement.

    Afterwards every block is in the mode that it had: part of a network may be kept in another
    mode than the whole, as frozen blocks are.

    Parameters
    ----------
    network : torch.nn.Module
        Any network.

    Yields
    ------
    torch.nn.Module
        The same network.

    Examples
    --------
    >>> with torch.inference_mode(), evaluating(net):
    ...     ab = net(L)
    """
    modes = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in modes.items():
            module.training = training
