"""The Python side of `against_python`: runs one named workload for each line on stdin and answers with milliseconds.

    python torch_peer.py THREADS matmul M K N
    python torch_peer.py THREADS prefill PATH.gguf TOKENS
"""

import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch


def matmul(m, k, n):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(int(m), int(k), generator=generator)
    b = torch.randn(int(k), int(n), generator=generator)
    c = torch.empty(int(m), int(n))
    return lambda: torch.matmul(a, b, out=c)


def prefill(path, tokens):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        os.path.dirname(path),
        gguf_file=os.path.basename(path),
        dtype=torch.float32,
        attn_implementation="sdpa",
    ).eval()
    ids = torch.randint(0, 49152, (1, int(tokens)), generator=torch.Generator().manual_seed(0))
    # The layers and the final norm, without the head: what the Rust side runs too.
    return lambda: model.model(ids, use_cache=False)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    with torch.no_grad():
        work = {"matmul": matmul, "prefill": prefill}[sys.argv[2]](*sys.argv[3:])
        work()
        print("ready", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            work()
            print(1e3 * (time.perf_counter() - start), flush=True)


main()
