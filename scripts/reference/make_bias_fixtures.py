#!/usr/bin/env python3
"""Writes the reference values of the attention biases, by Hugging Face transformers, x-transformers
and NVIDIA NeMo. Where none of them has a scheme (KERPLE's power kernel, FIRE, Shaw's values), the
values are PyTorch's of the paper's formula, held here to the same formula in plain loops of Python
floats.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures-biases.txt
    .venv/bin/pip install --no-deps nemo-toolkit==1.23.0
    .venv/bin/python scripts/reference/make_bias_fixtures.py

Tests/EmbedSchemesTests/Fixtures/biases/biases.json gets, computed in float64 from inputs that are
exact in float32:

alibiSlopes    heads -> slopes, BLOOM's
buckets        T5's buckets of the distances -400...400, a list for each set of options
logBuckets     DeBERTa v2's, the same distances
swinIndex      window -> rows of the table for all pairs of places
sandwich       NeMo's bias of 8 heads from sinusoids of 64, for distances of 0...499
cases          scheme -> arrays, flat in C order: inputs, the expected bias [batch, heads, queries,
               keys], the gradient of the logits, and the gradients that PyTorch's autograd gives
"""

import importlib.util
import json
import math
import platform
import sys
from importlib.metadata import distribution, version
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import transformers
from transformers.models.bloom import modeling_bloom
from transformers.models.deberta_v2 import DebertaV2Config, modeling_deberta_v2
from transformers.models.inkling import modeling_inkling
from transformers.models.swin import modeling_swin
from transformers.models.t5 import modeling_t5
from transformers.models.wav2vec2_bert import modeling_wav2vec2_bert
from transformers.models.xlnet import XLNetConfig, modeling_xlnet
from x_transformers import x_transformers as xt

OUTPUT = Path(__file__).resolve().parents[2] / "Tests/EmbedSchemesTests/Fixtures/biases/biases.json"
SEED = 20_240_607
BATCH, HEADS, QUERIES, KEYS, DIM = 2, 3, 7, 7, 8
generator = torch.Generator().manual_seed(SEED)


def draw(*shape, scale=1.0):
    """Normal values, exact in float32, in float64, with a gradient."""
    values = (torch.randn(*shape, generator=generator) * scale).double()
    return values.requires_grad_()


def distances(queries=QUERIES, keys=KEYS):
    return torch.arange(queries)[:, None] - torch.arange(keys)[None, :]


def case(bias, **inputs):
    """The bias, a gradient of it, and what that gives each input."""
    upstream = draw(*bias.shape).detach()
    gradients = torch.autograd.grad(bias, list(inputs.values()), upstream)
    return {
        "bias": flat(bias),
        "upstream": flat(upstream),
        **{name: flat(value) for name, value in inputs.items()},
        **{f"{name}Gradient": flat(g) for name, g in zip(inputs, gradients)},
    }


def flat(tensor):
    """Twelve digits: inputs are rounded to float32 again by the tests, with the same result."""
    return [float(f"{x:.12g}") for x in tensor.detach().double().flatten().tolist()]


def nemo(*names):
    """NeMo's modules of these names, without the package around them: it needs a GPU stack."""
    package = "nemo.collections.nlp.modules.common.megatron.position_embedding"
    decorators = ModuleType("nemo.utils.decorators")
    decorators.experimental = lambda wrapped: wrapped
    sys.modules["nemo.utils.decorators"] = decorators
    modules = []
    for name in names:
        path = distribution("nemo-toolkit").locate_file(f"{package.replace('.', '/')}/{name}.py")
        spec = importlib.util.spec_from_file_location(f"{package}.{name}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"{package}.{name}"] = module
        spec.loader.exec_module(module)
        modules.append(module)
    return modules


_, nemo_kerple, nemo_sandwich = nemo(
    "alibi_relative_position_embedding", "kerple_relative_position_embedding",
    "sandwich_relative_position_embedding")


def held_to(formula, tensor):
    """The tensor, which must be what `formula` says of its indices."""
    for index in torch.cartesian_prod(*map(torch.arange, tensor.shape)).tolist():
        expected, actual = formula(*index), tensor[tuple(index)].item()
        assert abs(actual - expected) <= 1e-12 * max(1, abs(expected)), (index, actual, expected)
    return tensor


def alibi_slopes():
    return {str(h): flat(modeling_bloom._get_alibi_slopes(h, torch.device("cpu"))) for h in
            (1, 2, 3, 5, 8, 12, 16, 20, 32, 40)}


def buckets():
    relative = -torch.arange(-400, 401)  # the library counts key minus query
    result = []
    for count, maximum in ((32, 128), (64, 256), (16, 40)):
        for both in (True, False):
            values = modeling_t5.T5Attention._relative_position_bucket(
                relative, bidirectional=both, num_buckets=count, max_distance=maximum)
            result.append({"count": count, "maximumDistance": maximum,
                           "direction": "bidirectional" if both else "causal",
                           "buckets": values.tolist()})
    return result


def log_buckets():
    relative = torch.arange(-400, 401)
    return [{"count": count, "maximumDistance": maximum,
             "buckets": modeling_deberta_v2.make_log_bucket_position(relative, count, maximum)
             .long().tolist()} for count, maximum in ((256, 512), (32, 128), (8, 20))]


def swin_index():
    result = {}
    for rows, columns in ((3, 3), (2, 4)):
        attention = modeling_swin.SwinRelativePositionBias.__new__(
            modeling_swin.SwinRelativePositionBias)
        torch.nn.Module.__init__(attention)
        attention.window_size = (rows, columns)
        index = attention._create_relative_position_index().flatten().tolist()
        result[f"{rows}x{columns}"] = index
    return result


def kerple(kernel):
    p, a = draw(HEADS).abs().detach() + 0.1, draw(HEADS).abs().detach() + 0.1
    p, a = (x.float().double().requires_grad_() for x in (p, a))
    if kernel == "logarithmic":
        # NeMo's form has an exponent on the distance too, which is 1 here.
        module = nemo_kerple.KERPLERelativePositionEmbedding(True, HEADS, None)
        del module.kerple_b, module.kerple_a, module.kerple_p
        module.kerple_b, module.kerple_a = p[:, None, None], a[:, None, None]
        module.kerple_p = 1.0
        return case(module(QUERIES, KEYS), p=p, a=a)
    n = distances().abs().double()
    bias = -a[:, None, None] * n.clamp(min=1e-300) ** p[:, None, None]
    held_to(lambda h, i, j: -a[h].item() * abs(i - j) ** p[h].item() if i != j else 0.0, bias)
    return case(bias[None], p=p, a=a)


def sandwich():
    torch.set_default_dtype(torch.float64)
    bias = nemo_sandwich.SandwichRelativePositionEmbedding(True, 8, None, 64)(500, 500)[0]
    torch.set_default_dtype(torch.float32)
    return flat(bias[:, :, 0])


def fire():
    width, threshold = 5, 4.0
    w1, b1, w2, b2 = draw(width), draw(width), draw(HEADS, width), draw(HEADS)
    c = torch.tensor([0.1]).double().requires_grad_()
    factor = torch.tensor([1.1875]).double().requires_grad_()
    n = distances().clamp(min=0).double()
    i = torch.arange(QUERIES).double()[:, None]
    x = torch.log(c.abs() * n + 1) / (torch.log(c.abs() * torch.maximum(i, (factor * threshold).abs()) + 1) + 1e-6)
    bias = (torch.relu(x[..., None] * w1 + b1) @ w2.T + b2).permute(2, 0, 1)

    def formula(h, i, j):
        far = abs(c.item()) * max(i, abs(factor.item() * threshold)) + 1
        share = math.log(abs(c.item()) * max(0, i - j) + 1) / (math.log(far) + 1e-6)
        units = (w2[h, w].item() * max(0.0, w1[w].item() * share + b1[w].item())
                 for w in range(width))
        return sum(units) + b2[h].item()

    held_to(formula, bias)
    return case(bias[None], w1=w1, b1=b1, w2=w2, b2=b2, c=c, factor=factor)


def shaw():
    clip = 3
    q, table = draw(BATCH, HEADS, QUERIES, DIM), draw(2 * clip + 1, DIM)
    attention = SimpleNamespace(
        left_max_position_embeddings=clip, right_max_position_embeddings=clip,
        distance_embedding=lambda rows: table[rows], scaling=DIM**-0.5)
    keys = torch.zeros(BATCH, HEADS, KEYS, DIM)
    _, bias = modeling_wav2vec2_bert._apply_relative_key_position_encoding(attention, q, keys)
    return case(bias, queries=q, table=table)


def shaw_values():
    clip = 3
    weights, table = draw(BATCH, HEADS, QUERIES, KEYS), draw(2 * clip + 1, DIM)
    vectors = table[(-distances()).clamp(-clip, clip) + clip]
    output = torch.einsum("bhij,ijd->bhid", weights, vectors)

    def formula(b, h, i, d):
        rows = [min(clip, max(-clip, j - i)) + clip for j in range(KEYS)]
        return sum(weights[b, h, i, j].item() * table[row, d].item()
                   for j, row in enumerate(rows))

    return case(held_to(formula, output), weights=weights, table=table)


def transformer_xl():
    model = 6
    config = XLNetConfig(d_model=model, n_head=HEADS, d_inner=4, n_layer=1, vocab_size=9)
    config.d_head = DIM
    layer = modeling_xlnet.XLNetModel(config)
    r = layer.relative_positional_encoding(QUERIES, KEYS, bsz=1)[:, 0].double()
    # Its own frequencies are float32: take the same ones in float64.
    frequency = 10_000 ** (-torch.arange(0, model, 2).double() / model)
    angle = torch.arange(KEYS, -QUERIES, -1).double()[:, None] * frequency
    exact = torch.cat([angle.sin(), angle.cos()], -1)
    assert (exact - r).abs().max() < 1e-6
    q, k = draw(BATCH, HEADS, QUERIES, DIM), draw(BATCH, HEADS, KEYS, DIM)
    u, v, w = draw(HEADS, DIM), draw(HEADS, DIM), draw(HEADS * DIM, model)
    rows = (exact @ w.T).view(-1, HEADS, DIM)
    ac = torch.einsum("bnid,bnjd->bnij", q + u[:, None], k)
    bd = torch.einsum("bnid,jnd->bnij", q + v[:, None], rows)
    bd = modeling_xlnet.XLNetRelativeAttention.rel_shift_bnij(bd, klen=KEYS)
    content = torch.einsum("bnid,bnjd->bnij", q, k)
    return {"model": model} | case(
        (ac + bd - content) / math.sqrt(DIM), queries=q, keys=k, u=u, v=v, w=w)


def deberta(buckets, maximum):
    config = DebertaV2Config(
        hidden_size=HEADS * DIM, num_attention_heads=HEADS, position_buckets=buckets,
        max_relative_positions=maximum, relative_attention=True, pos_att_type=["c2p", "p2c"],
        share_att_key=False, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    layer = modeling_deberta_v2.DisentangledSelfAttention(config).double()
    span = layer.pos_ebd_size
    q, k = draw(BATCH, HEADS, QUERIES, DIM), draw(BATCH, HEADS, KEYS, DIM)
    key_table, query_table = draw(2 * span, HEADS * DIM), draw(2 * span, HEADS * DIM)
    # The tables stand for the projections of the relative embeddings.
    del layer.pos_key_proj, layer.pos_query_proj
    layer.pos_key_proj = lambda _: key_table[None]
    layer.pos_query_proj = lambda _: query_table[None]
    embeddings = torch.zeros(2 * span, HEADS * DIM).double()
    bias = layer.disentangled_attention_bias(
        q.view(-1, QUERIES, DIM), k.view(-1, KEYS, DIM), None, embeddings, 3)
    return {"span": span} | case(
        bias.view(BATCH, HEADS, QUERIES, KEYS), queries=q, keys=k, keyTable=key_table,
        queryTable=query_table)


def content_relative():
    rank, extent = 4, 5
    layer = modeling_inkling.InklingRelativeLogits(rank, extent).double()
    q, bank = draw(BATCH, QUERIES, HEADS, rank), draw(rank, extent)
    del layer.proj
    layer.proj = bank
    bias = layer(q, torch.arange(QUERIES), torch.arange(KEYS))
    return case(bias, queries=q, bank=bank)


def cope():
    positions = 4
    layer = xt.CoPE(DIM, HEADS, positions).double()
    q, table = draw(BATCH, HEADS, QUERIES, DIM), draw(positions, DIM)
    del layer.pos_emb
    layer.pos_emb = table
    logits = draw(BATCH, HEADS, QUERIES, KEYS)
    hidden = distances() < 0
    masked = logits.masked_fill(hidden, -torch.inf)
    bias = layer(q, masked)
    return case(bias.masked_fill(hidden, 0), queries=q, table=table, logits=logits)


def main():
    assert BATCH * HEADS * QUERIES * KEYS  # the sizes below are listed for the tests
    data = {
        "madeBy": {"python": platform.python_version(), "torch": torch.__version__,
                   "transformers": transformers.__version__,
                   "x-transformers": version("x-transformers"),
                   "nemo-toolkit": version("nemo-toolkit"), "seed": SEED},
        "shape": [BATCH, HEADS, QUERIES, KEYS, DIM],
        "alibiSlopes": alibi_slopes(),
        "buckets": buckets(),
        "logBuckets": log_buckets(),
        "swinIndex": swin_index(),
        "sandwich": sandwich(),
        "cases": {
            "kerple-logarithmic": kerple("logarithmic"),
            "kerple-power": kerple("power"),
            "fire": fire(),
            "shaw": shaw(),
            "shaw-values": shaw_values(),
            "transformer-xl": transformer_xl(),
            "deberta": deberta(4, 7),
            "deberta-clipped": deberta(-1, 3),
            "content-relative": content_relative(),
            "cope": cope(),
        },
    }
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(data, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
