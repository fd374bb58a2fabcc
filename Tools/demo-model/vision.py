"""Stage `vision`: a CLIP vision tower trained with InfoNCE on captions plus a dense patch-word loss. Shared by both models."""
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

import text
from optim import normalise, train
from world import PART_WORDS, PATCH, SIZE

FEATURE_LAYER = -2
CONFIG = CLIPVisionConfig(hidden_size=96, intermediate_size=288, num_hidden_layers=4, num_attention_heads=4, image_size=SIZE,
                          patch_size=PATCH, hidden_act="quick_gelu", projection_dim=96, attn_implementation="eager")
BACKGROUND_WEIGHT = .3


class CaptionTower(nn.Module):
    """One transformer layer over caption words, mean-pooled: ids [B,T] to [B,96]. Thrown away after training."""
    def __init__(self, width=96, longest=64):
        super().__init__()
        self.embed = nn.Embedding(len(text.VOCABULARY), width, padding_idx=text.PAD)
        self.position = nn.Parameter(torch.randn(longest, width) * .02)
        self.layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0, batch_first=True, norm_first=True)

    def forward(self, tokens):
        absent = tokens == text.PAD
        hidden = self.layer(self.embed(tokens) + self.position[:tokens.shape[1]], src_key_padding_mask=absent)
        return (hidden * ~absent[..., None]).sum(1) / (~absent).sum(1, keepdim=True)


def features(model, pixels):
    """Patch features [B,64,96] that the projector reads, and the pooled CLS [B,96]."""
    out = model(pixels, output_hidden_states=True)
    return out.hidden_states[FEATURE_LAYER][:, 1:], out.pooler_output


def caption_batch(rng, scenes, chosen):
    """Padded caption ids [B,T] of the chosen scenes."""
    captions = [text.ids(text.caption(rng, scenes["objects"][i], scenes["parts"][i])) for i in chosen]
    longest = max(map(len, captions))
    return torch.tensor([tokens + [text.PAD] * (longest - len(tokens)) for tokens in captions])


def run(scenes, seed, steps, batch=64):
    """Trains the tower on scenes (see scenes.build); returns (state dict f32, cpu seconds)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    model, captions = CLIPVisionModel(CONFIG), CaptionTower()
    head = nn.Linear(CONFIG.hidden_size, 1 + len(PART_WORDS))
    scale = nn.Parameter(torch.tensor(2.66))
    class_weight = torch.tensor([BACKGROUND_WEIGHT] + [1.] * len(PART_WORDS))

    def loss_of_step(step):
        chosen = rng.integers(0, len(scenes["pixels"]), batch)
        words = torch.from_numpy(scenes["word"][chosen]).long().flatten()
        patches, pooled = features(model, normalise(scenes["pixels"][chosen]))
        written = F.normalize(captions(caption_batch(rng, scenes, chosen)).float(), dim=-1)
        similarity = scale.exp() * F.normalize(pooled.float(), dim=-1) @ written.T
        target = torch.arange(batch)
        contrastive = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
        logits = head(patches).flatten(0, 1).float()
        dense = F.cross_entropy(logits, words, weight=class_weight)
        correct = (logits.argmax(-1) == words)[words > 0].float().mean()
        return contrastive + dense, {"contrastive": contrastive.item(), "dense": dense.item(), "part accuracy": correct.item()}

    parameters = [*model.parameters(), *captions.parameters(), *head.parameters(), scale]
    seconds = train("vision", parameters, steps, 1.5e-3, loss_of_step)
    return model.state_dict(), seconds
