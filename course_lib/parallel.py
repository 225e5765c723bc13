"""One training on several processes, cards or machines, started by torchrun.

    torchrun --nproc-per-node 2 -m course_lib.training eccv16 --train ...

Each process takes its share of every batch, and DistributedDataParallel averages the gradients,
so that the weights are the same in all processes. On graphics cards batch normalization looks at
the joined batch (torch.nn.SyncBatchNorm): the numbers are those of one process with that batch,
but for the order of additions. PyTorch has no such layer for CPUs. There each process normalizes
its share with the share's own statistics, and the running averages are those of process 0, so
choose shares that are not too small. Without torchrun every function here does nothing.
"""

import importlib
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

#: One process may wait long for another, for example while it colours more pictures. If one
#: fails, torchrun ends the others; nobody has to find out by waiting.
PATIENCE = timedelta(days=1)


@contextmanager
def joined_processes() -> Iterator[None]:
    """Join the processes that torchrun started, for the time of a with statement.

    Where there are graphics cards each process takes one of its own.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    # The module's functions have the process group of the moment of its first import as a default
    # argument. If DistributedDataParallel imports it below, while there is a group, that group and
    # its threads live until the interpreter ends, and then may end the process with an abort.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # else one may leave while another still needs it, and waits for ever
    finally:
        for module in tuple(_distributed):
            module.leave()
        dist.destroy_process_group()
        _exchanged.clear()


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Number of this process, from 0. Process 0 alone writes files and shows progress."""
    return dist.get_rank() if _joined() else 0


def process_count() -> int:
    """How many processes train together; 1 without torchrun."""
    return dist.get_world_size() if _joined() else 1


def share_of_batch(batch_size: int) -> slice:
    """The part of a batch that this process computes.

    Parameters
    ----------
    batch_size : int
        Pictures in the joined batch.

    Returns
    -------
    slice
        Equally long in every process.

    Raises
    ------
    ValueError
        If the batch cannot be divided equally.
    """
    count = process_count()
    if batch_size % count:
        raise ValueError(
            f"a batch of {batch_size} cannot be divided among {count} processes; choose a batch "
            "size that can, or another --nproc-per-node"
        )
    share = batch_size // count
    return slice(rank() * share, (rank() + 1) * share)


def share_of_files(count: int) -> slice:
    """Which of `count` files this process works on: every n-th of them for n processes."""
    return slice(rank(), count, process_count())


def mean_over_processes(values: dict[str, float]) -> dict[str, float]:
    """Each value's mean over all processes: the joined batch's loss."""
    means = [total / process_count() for total in total_over_processes(list(values.values()))]
    return dict(zip(values, means, strict=True))


def total_over_processes(numbers: Sequence[float]) -> list[float]:
    """Each number's sum over all processes. Waits until all of them have come here."""
    totals = torch.tensor(numbers, dtype=torch.float64)
    if _joined():
        _exchanged.append(totals)
        dist.all_reduce(totals)
    return totals.tolist()


def check_same_everywhere(number: int, what: str) -> None:
    """Raise ValueError in every process unless all of them have the same number."""
    of_each = [0] * process_count()
    of_each[rank()] = number
    found = [int(total) for total in total_over_processes(of_each)]
    if len(set(found)) > 1:
        raise ValueError(
            f"{what} differs between processes: {found}; on several machines the run's folder "
            "must be on a disk that all of them share"
        )


def synchronize_normalization(network: nn.Module) -> nn.Module:
    """Let batch normalization see the joined batch, where several cards train.

    Parameters
    ----------
    network : torch.nn.Module
        On its device; parameters, running averages and their names stay.

    Returns
    -------
    torch.nn.Module
        The network, with torch.nn.SyncBatchNorm if it is on a card; on a CPU as it was.
    """
    if process_count() == 1 or not next(network.parameters()).is_cuda:
        return network
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


class Distributed:
    """A module whose gradients backward averages over all processes, where there are several.

    Parameters
    ----------
    module : torch.nn.Module
        Call this object instead: only what goes through the module's forward is seen.
    """

    def __init__(self, module: nn.Module):
        self.module = module
        self._call = module if process_count() == 1 else DistributedDataParallel(module)
        _distributed.add(self)

    def __call__(self, *inputs: Any) -> Any:
        """What the module returns."""
        return self._call(*inputs)

    def leave(self) -> None:
        """Let go of the process group, which ends only when nothing refers to it any more."""
        self._call = self.module


_distributed: "weakref.WeakSet[Distributed]" = weakref.WeakSet()

#: What has been exchanged, a few numbers each time, until the process group has ended. Gloo's own
#: thread lets go of a tensor a little after the exchange. If nothing in Python holds it any more,
#: that takes the interpreter's lock, which the end of the process group has while it waits for
#: that thread: both would wait for ever. (All exchanges but those of DistributedDataParallel,
#: whose tensors outlive the group, therefore go through `total_over_processes`.)
_exchanged: list[torch.Tensor] = []
