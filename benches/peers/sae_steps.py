"""The Python side of `sae_steps`: one training step of a sparse autoencoder by the library's own trainer.

    python sae_steps.py THREADS D LATENTS ROWS K

Answers each line `LIBRARY VARIANT` with the milliseconds of one step; the first of each is not timed. `none product`
times the bare encoder product.
"""

import os
import sys
import time

os.environ.setdefault("SPARSIFY_DISABLE_TRITON", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# What the libraries print on import must not reach the other side.
answers, sys.stdout = sys.stdout, sys.stderr

import torch


def product(d, n, rows, k, x):
    encoder, out = torch.randn(n, d), torch.empty(rows, n)

    def step():
        with torch.no_grad():
            torch.matmul(x, encoder.T, out=out)

    return step


def sparsify(variant, d, n, rows, k, x):
    from sparsify import SparseCoder, SparseCoderConfig

    assert variant == "topk"
    coder = SparseCoder(d, SparseCoderConfig(num_latents=n, k=k))
    adam = torch.optim.Adam(coder.parameters(), lr=1e-4)

    # The steps of its trainer, which wants a language model around them.
    def step():
        coder.set_decoder_norm_to_unit_norm()
        out = coder(x)
        (out.fvu + out.multi_topk_fvu / 8).backward()
        coder.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()

    return step


def dictionary_learning(variant, d, n, rows, k, x):
    from dictionary_learning.trainers import batch_top_k, gdm, jumprelu, standard, top_k

    common = dict(
        steps=100000, activation_dim=d, dict_size=n, layer=0, lm_name="none", device="cpu", seed=0
    )
    trainer = {
        "topk": lambda: top_k.TopKTrainer(k=k, **common),
        "batchtopk": lambda: batch_top_k.BatchTopKTrainer(k=k, **common),
        "gated": lambda: gdm.GatedSAETrainer(**common),
        "relu": lambda: standard.StandardTrainer(**common),
        "jumprelu": lambda: jumprelu.JumpReluTrainer(**common),
    }[variant]()
    # Step 0 starts the biases from the data.
    count = iter(range(1, 100000))
    return lambda: trainer.update(next(count), x)


def saelens(variant, d, n, rows, k, x):
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    from sae_lens.saes.gated_sae import GatedTrainingSAE, GatedTrainingSAEConfig
    from sae_lens.saes.jumprelu_sae import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.standard_sae import StandardTrainingSAE, StandardTrainingSAEConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    size = dict(d_in=d, d_sae=n)
    sae = {
        # Its sparse activations cannot run backward on a processor.
        "topk": lambda: TopKTrainingSAE(TopKTrainingSAEConfig(k=k, use_sparse_activations=False, **size)),
        "batchtopk": lambda: BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(k=k, **size)),
        "gated": lambda: GatedTrainingSAE(GatedTrainingSAEConfig(**size)),
        "relu": lambda: StandardTrainingSAE(StandardTrainingSAEConfig(**size)),
        "jumprelu": lambda: JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(**size)),
    }[variant]()
    config = SAETrainerConfig(
        total_training_samples=rows * 100000, train_batch_size_samples=rows, lr=1e-4, lr_end=1e-5
    )
    trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter([]))

    def step():
        trainer.step(x)
        trainer.n_training_steps += 1

    return step


def main():
    threads, d, n, rows, k = (int(word) for word in sys.argv[1:6])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(rows, d)
    steps = {}
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        library, variant = line.split()
        if line not in steps:
            if library == "none":
                steps[line] = product(d, n, rows, k, x)
            else:
                steps[line] = globals()[library](variant, d, n, rows, k, x)
            steps[line]()
        start = time.perf_counter()
        steps[line]()
        print(1e3 * (time.perf_counter() - start), file=answers, flush=True)


main()
