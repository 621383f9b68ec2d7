"""Optimisers of ``torch.optim`` whose steps cost the rows that a sparse gradient names.

    from embedkernel.torch import Embedding, optim

    tokens = Embedding(50_257, 768, sparse=True)
    optimizer = optim.ExactLazyAdamW(tokens.parameters(), lr=3e-4)
    rest = torch.optim.AdamW(model.parameters(), lr=3e-4)

Each is a ``torch.optim.Optimizer``: groups, closures, schedulers of ``torch.optim.lr_scheduler``,
accumulation, ``add_param_group``, state dicts that torch's optimiser of the same kind loads, and
``torch.amp.GradScaler``. They take any float32 parameter on the CPU, also those with dense gradients, and
stand beside any other optimiser that has the rest of a model.

| optimiser | rows without gradient |
|---|---|
| ``ExactLazyAdamW`` | as ``torch.optim.AdamW``, when they are next read |
| ``LazyAdamW`` | stay |
| ``RowWiseAdagrad`` | stay, as they would with a gradient of zero |
| ``SGD`` | stay, or ``untouched="stepped"`` |
"""

from .optim_adagrad import RowWiseAdagrad
from .optim_adamw import LazyAdamW
from .optim_clip import clip_grad_norm_, get_total_norm
from .optim_exact import ExactLazyAdamW
from .optim_sgd import SGD

__all__ = [
    "SGD",
    "ExactLazyAdamW",
    "LazyAdamW",
    "RowWiseAdagrad",
    "clip_grad_norm_",
    "get_total_norm",
]
