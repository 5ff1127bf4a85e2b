"""CLIP's weights as its files hold them, with random numbers in place of the real ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def clip_like_state() -> dict[str, Tensor]:
    """A CLIP RN50 state dict: `visual.*` from open_clip's own module, and some of the text part."""
    from open_clip.modified_resnet import ModifiedResNet

    torch.manual_seed(7)
    tower = ModifiedResNet((3, 4, 6, 3), 1024, 32, image_size=224, width=64)
    for module in tower.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    state = {f"visual.{name}": value.clone() for name, value in tower.state_dict().items()}
    text = {
        "positional_embedding": torch.randn(77, 8),
        "token_embedding.weight": torch.randn(16, 8),
        "logit_scale": torch.tensor(4.6),
    }
    return {**state, **text}


class _Holder(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def clip_like_module(state: dict[str, Tensor]) -> nn.Module:
    """A module that can be scripted and whose state dict has these keys, as OpenAI's archive."""
    root = _Holder()
    for name, value in state.items():
        *path, leaf = name.split(".")
        owner = root
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, _Holder())
            owner = getattr(owner, part)
        owner.register_buffer(leaf, value)
    return root
