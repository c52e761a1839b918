"""Loads every folder that collimate wrote for SAELens in SAELens itself and compares codes and reconstructions.

Run by hand, with sae-lens installed:

    COLLIMATE_SAELENS_OUT=target/saelens cargo nextest run -p collimate-sae --features files saelens
    python crates/sae/tests/saelens.py target/saelens crates/sae/tests/conformance/checkpoints

Expected values are those in the io.safetensors of the checkpoint that each folder was converted from, or of the folder itself
where it holds a transcoder of ours. Exit status 0 when all agree.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from sae_lens import SAE


def main(written: Path, cases: Path) -> int:
    compared, failed = 0, 0
    for folder in sorted(p for p in written.iterdir() if (p / "cfg.json").is_file()):
        own = folder / "io.safetensors"
        expected = load_file(own if own.is_file() else cases / folder.name / "io.safetensors")
        sae = SAE.load_from_disk(str(folder), device="cpu", dtype="float64")
        x = expected["x"].double()
        x = x.reshape(x.shape[0], -1)
        with torch.no_grad():
            codes = sae.encode(x)
            skip = "skip" in json.loads((folder / "cfg.json").read_text())["architecture"]
            recon = sae(x) if skip else sae.decode(codes)
        support = int(((codes != 0) != (expected["feature_acts_f64"] != 0)).sum())
        off = (codes - expected["feature_acts_f64"]).abs().max().item()
        off_recon = (recon.reshape(x.shape[0], -1) - expected["recon_f64"].reshape(x.shape[0], -1)).abs().max().item()
        good = support == 0 and off < 1e-6 and off_recon < 1e-6
        compared, failed = compared + 1, failed + (not good)
        print(f"{'ok ' if good else 'BAD'} {folder.name}: codes {off:.1e}, reconstruction {off_recon:.1e}, supports {support}")
    print(f"{compared} compared, {failed} differ")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
