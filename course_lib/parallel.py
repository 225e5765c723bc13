"""One training on several processes, cards or machines, started by torchrun.

    torchrun --nproc-per-node 2 -m course_lib.training eccv16 --train ...

Each process takes its share of every batch; DistributedDataParallel averages the gradients, and
batch normalization looks at the whole batch. So the numbers are those of one process with the
joined batch, but for the order of additions. Without torchrun every function here does nothing.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
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
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # else one may leave while another still needs it, and waits for ever
    finally:
        dist.destroy_process_group()


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
        dist.all_reduce(totals)
    return totals.tolist()


def check_same_everywhere(number: int, what: str) -> None:
    """Raise ValueError in every process unless all of them have the same number."""
    found = [number] * process_count()
    if _joined():
        dist.all_gather_object(found, number)
    if len(set(found)) > 1:
        raise ValueError(
            f"{what} differs between processes: {found}; on several machines the run's folder "
            "must be on a disk that all of them share"
        )


def synchronize_normalization(network: nn.Module) -> nn.Module:
    """Let batch normalization see the joined batch, where several processes train.

    Parameters
    ----------
    network : torch.nn.Module
        On its device. Changed in place; parameters, running averages and their names stay.

    Returns
    -------
    torch.nn.Module
        The same network.
    """
    if process_count() == 1:
        return network
    if next(network.parameters()).is_cuda:
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _SyncBatchNorm(child))
    return network


class _SyncBatchNorm(nn.BatchNorm2d):
    """Batch normalization over all processes; PyTorch's own is for graphics cards alone."""

    def __init__(self, plain: nn.BatchNorm2d):
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.to(plain.weight).load_state_dict(plain.state_dict())
        self.train(plain.training).requires_grad_(plain.weight.requires_grad)  # it may be frozen

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        precision = x.dtype
        x = x.to(torch.promote_types(precision, torch.float32))
        count = x.numel() // x.shape[1] * process_count()
        mean = _SumOverProcesses.apply(x.sum(dim=(0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _SumOverProcesses.apply(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(precision)


class _SumOverProcesses(torch.autograd.Function):
    """A sum over all processes. Each one's loss depends on it, so gradients are summed too."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def distribute(module: nn.Module) -> nn.Module:
    """Wrap a module so that backward averages its gradients over all processes.

    Parameters
    ----------
    module : torch.nn.Module
        Call the result instead: only what goes through its forward is seen.

    Returns
    -------
    torch.nn.Module
        A DistributedDataParallel around it, or the module itself where there is one process.
    """
    return module if process_count() == 1 else DistributedDataParallel(module)
