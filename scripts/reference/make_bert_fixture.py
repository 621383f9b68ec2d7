#!/usr/bin/env python3
"""Writes what BERT's input embedding gives on real weights, by transformers in PyTorch.

    scripts/setup-data --weights
    python scripts/reference/make_bert_fixture.py

The weights (all-MiniLM-L6-v2) stay in the cache. Tests/EmbedModelsTests/Fixtures/bert/ gets

small.safetensors     the few table rows that `case.json`'s ids need, under BERT's names
case.json             ids, segments, expected rows, epsilon, for those rows (ids renumbered)
full.json             the same for ids of the whole table, for the test that has the weights
"""

import hashlib
import json
import os
import platform
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings

FOLDER = Path(__file__).resolve().parents[2] / "Tests/EmbedModelsTests/Fixtures/bert"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "embedkernel"
WEIGHTS = CACHE / "minilm/model.safetensors"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MADE_BY = {
    "python": platform.python_version(),
    "torch": torch.__version__,
    "transformers": transformers.__version__,
}
NAMES = ["word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight",
         "LayerNorm.weight", "LayerNorm.bias"]
EPSILON = 1e-12


def embed(tables: dict, ids: torch.Tensor, segments: torch.Tensor) -> torch.Tensor:
    words, positions, types = (tables[name] for name in NAMES[:3])
    config = BertConfig(
        vocab_size=words.shape[0], hidden_size=words.shape[1], pad_token_id=None,
        max_position_embeddings=positions.shape[0], type_vocab_size=types.shape[0],
        layer_norm_eps=EPSILON, hidden_dropout_prob=0.0)
    layer = BertEmbeddings(config).eval()
    layer.load_state_dict(tables, strict=False)
    with torch.no_grad():
        return layer(input_ids=ids, token_type_ids=segments)


def case(ids, segments, expected) -> dict:
    # nine significant digits give a float back exactly
    return {
        "batch": ids.shape[0], "context": ids.shape[1], "dim": expected.shape[2],
        "epsilon": EPSILON, "ids": ids.flatten().tolist(), "segments": segments.flatten().tolist(),
        "expected": [float(f"{x:.9g}") for x in expected.flatten().tolist()],
    }


def write(name: str, record: dict) -> None:
    text = json.dumps({"madeBy": MADE_BY, **record}, separators=(",", ":"))
    (FOLDER / name).write_text(text + "\n")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    data = WEIGHTS.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256, WEIGHTS
    model = load_file(WEIGHTS)
    tables = {name: model[f"embeddings.{name}"] for name in NAMES}

    # [CLS] hello world ! [SEP] how are you ? [SEP] and [PAD], in two orders.
    first = [101, 7592, 2088, 999, 102, 2129, 2024, 2017, 1029, 102, 0, 0]
    ids = torch.tensor([first, [101, 2017, 2024, 7592, 102, 30521, 1, 999, 2088, 102, 0, 0]])
    segments = torch.tensor([[0] * 5 + [1] * 5 + [0, 0]] * 2)
    expected = embed(tables, ids, segments)

    rows = sorted(set(ids.flatten().tolist()))
    small = dict(tables)
    small["word_embeddings.weight"] = tables["word_embeddings.weight"][rows].contiguous()
    small["position_embeddings.weight"] = tables["position_embeddings.weight"][:12].contiguous()
    renumbered = torch.tensor([[rows.index(i) for i in row] for row in ids.tolist()])
    assert torch.equal(embed(small, renumbered, segments), expected)
    save_file(
        {f"bert.embeddings.{name}": value for name, value in small.items()},
        FOLDER / "small.safetensors", metadata={"format": "pt"})
    write("case.json", case(renumbered, segments, expected))
    # The first columns of the whole table's rows: enough to tell a wrong row or place.
    whole = torch.arange(0, 30_522, 61).reshape(1, -1)[:, :500]
    types = torch.arange(500).reshape(1, -1) % 2
    full = case(whole, types, embed(tables, whole, types)[:, :, :8])
    write("full.json", full)
    print(sum(path.stat().st_size for path in FOLDER.iterdir()), "bytes in", FOLDER)


if __name__ == "__main__":
    main()
