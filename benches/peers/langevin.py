"""The Python side of `langevin`: SGLD by devinterp 1.3.2 and by a plain PyTorch loop, one thread.

    python langevin.py MODEL BATCH N_BETA GAMMA EPSILON [SIZE ...]

MODEL is `reduced-rank M H N`, `toy-model M N` or `perceptron H0 H1 ...`. The first line on stdin holds the data, sample
after sample, the second the flat parameters of the start; both are answered by 0. Then `devinterp K`, `batches K` and
`loop K` run a chain of K steps from the start, and answer with milliseconds and the K losses. `batches` is devinterp with
a loader that yields whole batches, so that no sample is collated in Python.
"""

import math
import sys
import time
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")


class ReducedRank(nn.Module):
    def __init__(self, m, h, n):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(torch.zeros(h, m)), nn.Parameter(torch.zeros(n, h))])
        self.inputs, self.width = m, m + n

    def loss(self, x, y):
        return 0.5 * ((x @ self.w[0].T @ self.w[1].T - y) ** 2).sum(1).mean()


class ToyModel(nn.Module):
    def __init__(self, m, n):
        super().__init__()
        self.w = nn.ParameterList([nn.Parameter(torch.zeros(m, n)), nn.Parameter(torch.zeros(n))])
        self.inputs = self.width = n

    def loss(self, x):
        return ((torch.relu(x @ self.w[0].T @ self.w[0] + self.w[1]) - x) ** 2).sum(1).mean()


class Perceptron(nn.Module):
    def __init__(self, *widths):
        super().__init__()
        layers = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Linear(before, after), nn.Tanh()]
        self.net = nn.Sequential(*layers[:-1])
        self.inputs, self.width = widths[0], widths[0] + widths[-1]

    def loss(self, x, y):
        return 0.5 * ((self.net(x) - y) ** 2).sum(1).mean()


class Batches(DataLoader):
    """Whole batches by one index each, so that no sample becomes a Python object."""

    def __len__(self):
        return len(self.dataset) // self.batch_size

    def __iter__(self):
        order = torch.randperm(len(self.dataset))
        for i in range(len(self)):
            chosen = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield tuple(part[chosen] for part in self.dataset.tensors)


def devinterp_chain(model, loader, settings, steps):
    from devinterp.slt.llc import LLCEstimator
    from devinterp.slt.sampler import sample

    n_beta, gamma, epsilon = settings
    # Its own estimator keeps the losses; the baseline plays no part in them.
    estimator = LLCEstimator(1, steps, 1.0, nbeta=n_beta, device="cpu")
    sample(
        model,
        loader,
        callbacks=[estimator],
        evaluate=lambda model, data: model.loss(*data),
        optimizer_kwargs=dict(lr=epsilon, nbeta=n_beta, localization=gamma),
        num_draws=steps,
        num_chains=1,
        init_loss=1.0,
        device="cpu",
        verbose=False,
    )
    return estimator.get_results()["loss/trace"][0].tolist()


def loop_chain(model, data, batch, settings, steps):
    n_beta, gamma, epsilon = settings
    parameters = list(model.parameters())
    start = [p.detach().clone() for p in parameters]
    losses, n = [], len(data[0])
    for _ in range(steps):
        if batch == n:
            loss = model.loss(*data)
        else:
            chosen = torch.randint(0, n, (batch,))
            loss = model.loss(*(part[chosen] for part in data))
        gradients = torch.autograd.grad(loss, parameters)
        losses.append(loss.item())
        with torch.no_grad():
            for p, g, centre in zip(parameters, gradients, start):
                p.add_(g, alpha=-0.5 * epsilon * n_beta).add_(p - centre, alpha=-0.5 * epsilon * gamma)
                p.add_(torch.randn_like(p), alpha=math.sqrt(epsilon))
    with torch.no_grad():
        for p, centre in zip(parameters, start):
            p.copy_(centre)
    return losses


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, batch = sys.argv[1], int(sys.argv[2])
    settings = [float(word) for word in sys.argv[3:6]]
    models = {"reduced-rank": ReducedRank, "toy-model": ToyModel, "perceptron": Perceptron}
    model = models[name](*(int(word) for word in sys.argv[6:]))
    print("ready", flush=True)
    read = lambda: torch.tensor([float(word) for word in sys.stdin.readline().split()])
    rows = read().view(-1, model.width)
    print(0, flush=True)
    with torch.no_grad():
        flat = read()
        for p in model.parameters():
            p.copy_(flat[: p.numel()].view(p.shape))
            flat = flat[p.numel() :]
    print(0, flush=True)
    data = [part for part in (rows[:, : model.inputs], rows[:, model.inputs :]) if part.numel()]
    dataset = TensorDataset(*data)
    loaders = {
        "devinterp": DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True),
        "batches": Batches(dataset, batch_size=batch),
    }
    for line in sys.stdin:
        what, steps = line.split()
        start = time.perf_counter()
        if what == "loop":
            losses = loop_chain(model, data, batch, settings, int(steps))
        else:
            losses = devinterp_chain(model, loaders[what], settings, int(steps))
        print(1e3 * (time.perf_counter() - start), *losses, flush=True)


main()
