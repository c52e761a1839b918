"""Checks that models which `collimate lm train` writes load in transformers and give equal logits.

    python saved_models.py PATH/TO/collimate

For each architecture: transformers writes the config.json of a small model, `collimate lm train` trains it on a text with the
tokenizer of bytes, and transformers loads the folder. No weight may be missing or left over, the tokenizer must give the same ids,
and the logits must agree as those of two passes in float32. Prints a table in Markdown, and ends with status 1 if something differs.
"""

import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy
import torch
import transformers
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

transformers.logging.set_verbosity_error()

SIZES = dict(vocab_size=257, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
SIZES |= dict(max_position_embeddings=64, bos_token_id=256, eos_token_id=256, pad_token_id=None)
GROUPED = dict(num_key_value_heads=2)
WINDOWS = dict(sliding_window=7, layer_types=["sliding_attention", "full_attention"])
GEMMA = dict(head_dim=8, query_pre_attn_scalar=6) | GROUPED | WINDOWS
CASES = {
    "llama": GROUPED,
    "mistral": GROUPED | dict(sliding_window=7),
    "qwen2": GROUPED,
    "qwen3": GROUPED | dict(head_dim=8),
    "gemma": GROUPED | dict(head_dim=8),
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "gpt2": {},
    "gpt_neo": dict(num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=7),
    "gpt_neox": {},
    "gptj": dict(rotary_dim=4),
    "opt": dict(ffn_dim=48, word_embed_proj_dim=32),
    "phi": {},
    "phi3": GROUPED,
    "olmo2": GROUPED,
    "smollm3": GROUPED,
    "granite": GROUPED | dict(residual_multiplier=0.5, logits_scaling=2.0),
    "stablelm": GROUPED,
    "falcon": dict(new_decoder_architecture=True, num_kv_heads=2),
    "bloom": {},
    "cohere": GROUPED,
    "diffllama": GROUPED,
}
TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom. Ünïcödé, too: 東京 🦀\n"
# Two passes in float32, with sums of up to a hundred terms in two layers: some 300 roundings of 6e-8.
LIMIT = 2e-5


def collimate(binary, *words):
    done = subprocess.run([binary, *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{words}: {done.stderr}")
    return done.stdout


def check(binary, name, folder):
    config = AutoConfig.for_model(name, **(SIZES | CASES[name]))
    start, out = os.path.join(folder, "start"), os.path.join(folder, "out")
    config.save_pretrained(start)
    text = os.path.join(folder, "text.txt")
    with open(text, "w", encoding="utf-8") as file:
        file.write(TEXT * 30)
    lines = collimate(
        binary, "lm", "train", "--description", os.path.join(start, "config.json"), "--corpus", text, "--tokenizer", "bytes",
        "--context", 32, "--batch", 4, "--steps", 30, "--learning-rate", 3e-3, "--output", out,
    )  # fmt: skip
    losses = [json.loads(line)["loss"] for line in lines.splitlines()]

    tokenizer = AutoTokenizer.from_pretrained(out)
    expected = tokenizer(TEXT)["input_ids"]
    if expected != list(TEXT.encode()) or tokenizer.decode(expected) != TEXT:
        raise RuntimeError(f"{name}: the tokenizer reads the text as {expected}")
    ids = numpy.array([expected[:24], expected[50:74]], dtype=numpy.int64)
    given = os.path.join(folder, "ids.safetensors")
    save_file({"input_ids": ids}, given)

    model, report = AutoModelForCausalLM.from_pretrained(
        out, dtype=torch.float32, output_loading_info=True, attn_implementation="eager"
    )
    left = {key: value for key, value in report.items() if value}
    if left:
        raise RuntimeError(f"{name}: transformers reports {left}")
    result = os.path.join(folder, "logits.safetensors")
    collimate(binary, "model", "run", out, "--input", given, "--output", result)
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(ids)).logits.numpy()
    return losses, abs(load_file(result)["logits"] - logits).max() / abs(logits).max()


def main():
    binary = os.path.abspath(sys.argv[1])
    names = sys.argv[2:] or CASES
    print(f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| architecture | loss, first → last step | largest difference, in parts of the largest logit |")
    print("|---|---|---|")
    wrong = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                losses, error = check(binary, name, folder)
            except Exception as failure:
                wrong.append(f"{name}: {failure}")
                continue
        if not error <= LIMIT or not losses[-1] < losses[0]:
            wrong.append(f"{name}: the logits differ by {error}, and the losses are {losses}")
        print(f"| {name} | {losses[0]:.2f} → {losses[-1]:.2f} | {error:.1e} |", flush=True)
    for line in wrong:
        print(line, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
