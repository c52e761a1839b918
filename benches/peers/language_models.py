"""The Python side of `language_models`: runs one named workload for each line on stdin and answers with milliseconds.

    python language_models.py THREADS forward|activations|weights CONFIG.json TOKENS
    python language_models.py THREADS decode CONFIG.json PROMPT TOKENS
    python language_models.py THREADS train CONFIG.json BATCH CONTEXT
    python language_models.py THREADS write CONFIG.json FOLDER
    python language_models.py THREADS large FOLDER TOKENS
"""

import json
import os
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch


def model_of(path):
    from transformers import LlamaConfig, LlamaForCausalLM

    with open(path) as file:
        config = LlamaConfig(**json.load(file))
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    return LlamaForCausalLM(config).float().eval()


def ids_of(model, rows, columns):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, model.config.vocab_size, (int(rows), int(columns)), generator=generator)


def forward(path, tokens):
    model = model_of(path)
    ids = ids_of(model, 1, tokens)

    def run():
        with torch.no_grad():
            model(ids, use_cache=False)

    return run


def activations(path, tokens):
    model = model_of(path)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    ids = ids_of(model, 1, tokens)

    def run():
        rows = model.model.embed_tokens(ids).requires_grad_(True)
        model(inputs_embeds=rows, labels=ids, use_cache=False).loss.backward()

    return run


def weights(path, tokens):
    model = model_of(path)
    ids = ids_of(model, 1, tokens)

    def run():
        model.zero_grad(set_to_none=True)
        model(ids, labels=ids, use_cache=False).loss.backward()

    return run


def decode(path, prompt, tokens):
    from transformers import DynamicCache

    model = model_of(path)
    ids = ids_of(model, 1, prompt)
    cache = DynamicCache()
    with torch.no_grad():
        first = model(ids, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)

    def run():
        extra = cache.get_seq_length() - int(prompt)
        if extra:
            cache.crop(-extra)
        token = first
        with torch.no_grad():
            for _ in range(int(tokens)):
                token = model(token, past_key_values=cache, use_cache=True).logits[:, -1:].argmax(-1)

    return run


def train(path, batch, context):
    model = model_of(path).train()
    ids = ids_of(model, batch, context)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1)

    def run():
        optimiser.zero_grad(set_to_none=True)
        model(ids, labels=ids, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()

    return run


def write(path, folder):
    """Writes a random model in BF16, once; a line on stdin does nothing."""
    model_of(path).to(torch.bfloat16).save_pretrained(folder, max_shard_size="2GB")
    return lambda: None


def large(folder, tokens):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    ids = ids_of(model, 1, tokens)

    def run():
        with torch.no_grad():
            model(ids, use_cache=False)

    return run


def main():
    torch.set_num_threads(int(sys.argv[1]))
    names = [forward, activations, weights, decode, train, write, large]
    work = {f.__name__: f for f in names}[sys.argv[2]](*sys.argv[3:])
    work()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(1e3 * (time.perf_counter() - start), flush=True)


main()
