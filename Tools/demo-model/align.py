"""Stage `projector`: the two-layer projector between the frozen vision tower and the frozen decoder, on clean images only."""
import numpy as np
import torch
from torch import nn
from transformers import CLIPVisionModel, LlamaForCausalLM

import decoder
import vision
from optim import normalise, train

IMAGES, IN_PLACE_WEIGHT, SHORT_WEIGHT = 16000, .2, .5


class Projector(nn.Module):
    """Patch features [B,64,96] to decoder inputs [B,64,128]; names as in Hugging Face llava."""
    def __init__(self, width):
        super().__init__()
        self.linear_1 = nn.Linear(vision.CONFIG.hidden_size, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, features):
        return self.linear_2(nn.functional.gelu(self.linear_1(features)))


@torch.no_grad()
def cache_features(tower, pixels, batch=128):
    """Clean patch features [N,64,96] f16 of images [N,64,64,3] u8 from the state dict of the vision tower."""
    model = CLIPVisionModel(vision.CONFIG).eval()
    model.load_state_dict(tower)
    parts = [vision.features(model, normalise(pixels[i:i + batch]))[0].half() for i in range(0, len(pixels), batch)]
    return torch.cat(parts)


def start(projector, features, embedding):
    """Scales the initial weights to the features that come in and the word embeddings that should come out."""
    nn.init.normal_(projector.linear_1.weight, std=1 / (features[:500].float().std().item() * features.shape[-1] ** .5))
    nn.init.normal_(projector.linear_2.weight, std=1.5 * embedding.std().item() / projector.linear_2.in_features ** .5)
    nn.init.zeros_(projector.linear_1.bias)
    nn.init.zeros_(projector.linear_2.bias)


def run(scenes, features, language, config, seed, steps, batch=64):
    """Trains the projector for the decoder `language` (state dict) of shape `config`; returns (state dict f32, cpu seconds)."""
    torch.manual_seed(2000 + seed)
    rng, draws = np.random.default_rng([seed, 3]), torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(config).requires_grad_(False)
    model.load_state_dict(language)
    projector = Projector(config.hidden_size)
    start(projector, features, model.get_input_embeddings().weight)

    def loss_of_step(step):
        chosen = rng.integers(0, len(features), batch)
        clean = decoder.WORD_ID[torch.from_numpy(scenes["word"][chosen]).long()]
        turns = decoder.dialogues(rng, scenes, chosen)
        grid = projector(features[chosen].float())
        answer, in_place = decoder.losses(model, grid, clean, *turns)
        short = decoder.short_loss(model, clean, draws, lambda patches: grid.flatten(0, 1)[patches][:, None])
        loss = answer + IN_PLACE_WEIGHT * in_place + SHORT_WEIGHT * short
        return loss, {"answer": answer.item(), "in place": in_place.item(), "short": short.item()}

    seconds = train(f"projector seed={seed}", projector.parameters(), steps, 3e-3, loss_of_step, decay=0)
    return projector.state_dict(), seconds
