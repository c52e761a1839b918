"""The Python side of `toy_models`: many toy models in one batched einsum, as they are usually trained.

    python toy_models.py THREADS INSTANCES N M

Answers each line on stdin with two numbers. `steps K` takes K steps: milliseconds, mean loss. `reach LOSS K` starts a new
training, in windows of K steps, until the mean loss of a window is at most LOSS: milliseconds, steps.
"""

import sys
import time

import torch

BATCH = 1024


class Models:
    def __init__(self, instances, n, m):
        generator = torch.Generator().manual_seed(0)
        scale = (2 / (n + m)) ** 0.5
        self.w = torch.nn.Parameter(scale * torch.randn(instances, m, n, generator=generator))
        self.b = torch.nn.Parameter(torch.zeros(instances, n))
        self.on = 20 ** -torch.linspace(0, 1, instances)
        self.optimiser = torch.optim.AdamW([self.w, self.b], lr=1e-3)

    def step(self):
        shape = (BATCH, *self.b.shape)
        x = torch.where(torch.rand(shape) <= self.on[:, None], torch.rand(shape), torch.zeros(()))
        hidden = torch.einsum("bin,imn->bim", x, self.w)
        out = torch.relu(torch.einsum("bim,imn->bin", hidden, self.w) + self.b)
        losses = ((x - out) ** 2).sum(2).mean(0)
        self.optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()
        self.optimiser.step()
        return losses.detach().mean()

    def window(self, steps):
        return sum(self.step() for _ in range(steps)).item() / steps


def main():
    torch.set_num_threads(int(sys.argv[1]))
    sizes = [int(word) for word in sys.argv[2:5]]
    models = Models(*sizes)
    models.step()
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        start = time.perf_counter()
        if words[0] == "steps":
            answer = models.window(int(words[1]))
        else:
            fresh, answer = Models(*sizes), 0
            while True:
                answer += int(words[2])
                if fresh.window(int(words[2])) <= float(words[1]):
                    break
        print(1e3 * (time.perf_counter() - start), answer, flush=True)


main()
