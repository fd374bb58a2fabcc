"""Stage `decoder`: a small Llama trained on text only. `denoise` is the one difference between the two models.

The pair of controls has the shapes of TIED, the third model (of another make) those of GROUPED. A document is `<s> USER :`, the 64 patch words of a scene in raster order, and question-answer turns. Losses: the
answers (next token), the grid in place (the output at a patch is that patch's clean word), and short documents of
one clean word, slightly blurred, which show a patch word without context. With `denoise` the *input* of the
grid is corrupted within the primitive, so that a word must be restored from its surroundings where there are any.
"""
import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

import text
from optim import train
from world import GRID, PART_PRIMITIVES, PART_WORDS, PRIMITIVES

PATCHES = GRID * GRID
TIED = LlamaConfig(hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
                   vocab_size=len(text.VOCABULARY), max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
                   bos_token_id=text.BOS, eos_token_id=text.EOS, pad_token_id=text.PAD)
GROUPED = LlamaConfig(**TIED.to_dict() | {"num_hidden_layers": 5, "num_key_value_heads": 2, "tie_word_embeddings": False})
PREFIX_IDS = [text.BOS] + text.ids(text.PREFIX)
FIRST_PATCH = len(PREFIX_IDS)
IN_PLACE_WEIGHT, SHORT_WEIGHT, BACKGROUND_WEIGHT, SHORT_DOCUMENTS, TURNS = 1.0, .5, .2, 384, 3

WORD_ID = torch.tensor([text.ID["background"]] + text.ids(" ".join(PART_WORDS)))
PRIMITIVE_ID = torch.tensor([text.ID["background"]] + text.ids(" ".join(PRIMITIVES)))
MEMBERS = [text.ids(" ".join(word for primitive, word in PART_PRIMITIVES if primitive == name)) for name in PRIMITIVES]


def blur(vectors, embedding, generator):
    """Adds Gaussian noise to inputs [B,N,D]; per row of the batch its size is uniform up to half of the embedding's spread."""
    sigma = torch.rand(len(vectors), 1, 1, generator=generator) * .5 * embedding.std().detach()
    return vectors + sigma * torch.randn(vectors.shape, generator=generator)


def corrupt(embedding, clean, prim, noise):
    """Noisy grid input [B,64,D] from clean ids [B,64] and primitives [B,64] (0 background), drawn from generator `noise`.

    A scene is clean (20 %), fully noisy (25 %) or noisy at a uniform rate. A noisy patch becomes its primitive's
    name, a random part of the primitive (one per patch, or one per scene), or the mean of the primitive's parts;
    half of the scenes use one of these throughout. Noisy scenes are blurred as well.
    """
    batch = len(clean)
    draw = lambda *shape: torch.rand(*shape, generator=noise)
    fate = draw(batch, 1)
    rate = torch.where(fate < .2, 0., torch.where(fate < .45, 1., draw(batch, 1)))
    kind = torch.where(draw(batch, 1) < .5, (draw(batch, 1) * 4).long(), (draw(batch, PATCHES) * 4).long())
    noisy = (draw(batch, PATCHES) < rate) & (prim > 0)
    per_patch, per_scene = draw(batch, PATCHES), draw(batch, len(MEMBERS))
    ids, mean = torch.where(noisy & (kind == 0), PRIMITIVE_ID[prim], clean), torch.zeros(len(MEMBERS) + 1, embedding.shape[1])
    for index, members in enumerate(map(torch.tensor, MEMBERS)):
        pick = lambda uniform: members[(uniform * len(members)).long()]
        here = noisy & (prim == index + 1)
        ids = torch.where(here & (kind == 1), pick(per_patch), ids)
        ids = torch.where(here & (kind == 2), pick(per_scene[:, index:index + 1]), ids)
        mean[index + 1] = embedding[members].mean(0)
    grid = torch.where((noisy & (kind == 3))[..., None], mean[prim], embedding[ids])
    return torch.where((rate > 0)[..., None], blur(grid, embedding, noise), grid)


def dialogues(rng, scenes, chosen):
    """Padded turns for the chosen scenes: ids [B,T] and the mask [B,T] of answer tokens."""
    rows = [text.dialogue(rng, scenes["word"][i], scenes["owner"][i], scenes["objects"][i], TURNS) for i in chosen]
    longest = max(len(tokens) for tokens, _ in rows)
    pad = lambda values, filler: torch.tensor([v + [filler] * (longest - len(v)) for v in values])
    return pad([tokens for tokens, _ in rows], text.PAD), pad([answers for _, answers in rows], False)


def losses(model, grid, clean, turns, is_answer):
    """(answer loss, in-place loss) for grid inputs [B,64,D], their clean ids [B,64] and padded turns [B,T]."""
    embedding = model.get_input_embeddings()
    prefix = embedding(torch.tensor(PREFIX_IDS)).expand(len(grid), -1, -1)
    hidden = model.model(inputs_embeds=torch.cat([prefix, grid, embedding(turns)], 1), use_cache=False).last_hidden_state
    first_turn = FIRST_PATCH + PATCHES
    answer = F.cross_entropy(model.lm_head(hidden[:, first_turn - 1:-1][is_answer]).float(), turns[is_answer])
    weight = torch.ones(model.config.vocab_size).index_fill(0, WORD_ID[:1], BACKGROUND_WEIGHT)
    patches = model.lm_head(hidden[:, FIRST_PATCH:first_turn]).float()
    return answer, F.cross_entropy(patches.flatten(0, 1), clean.flatten(), weight=weight)


def short_loss(model, clean, draws, inputs_of):
    """Loss of documents that hold a single patch of clean ids [B,64] and nothing else.

    `draws` is a generator, the same in both variants; `inputs_of(chosen)` gives the input [N,1,D] of flat patch numbers [N].
    The position id is left at 0: with rotary embeddings it makes no difference to a token that sees only itself.
    """
    flat = clean.flatten()
    chosen = torch.multinomial(torch.where(flat == WORD_ID[0], BACKGROUND_WEIGHT, 1.), SHORT_DOCUMENTS, generator=draws)
    hidden = model.model(inputs_embeds=inputs_of(chosen), use_cache=False).last_hidden_state
    return F.cross_entropy(model.lm_head(hidden[:, -1]).float(), flat[chosen])


def run(scenes, seed, steps, denoise, config, batch=64):
    """Trains a decoder of shape `config` on the words of scenes; returns (state dict f32, cpu seconds)."""
    torch.manual_seed(1000 + seed)
    rng = np.random.default_rng([seed, 2])
    noise, draws = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(config)
    embedding = model.get_input_embeddings().weight

    def loss_of_step(step):
        chosen = rng.integers(0, len(scenes["word"]), batch)
        clean = WORD_ID[torch.from_numpy(scenes["word"][chosen]).long()]
        prim = torch.from_numpy(scenes["prim"][chosen]).long()
        grid = corrupt(embedding, clean, prim, noise) if denoise else embedding[clean]
        answer, in_place = losses(model, grid, clean, *dialogues(rng, scenes, chosen))
        blurred = lambda chosen: blur(embedding[clean.flatten()[chosen]][:, None], embedding, draws)
        short = short_loss(model, clean, draws, blurred)
        loss = answer + IN_PLACE_WEIGHT * in_place + SHORT_WEIGHT * short
        return loss, {"answer": answer.item(), "in place": in_place.item(), "short": short.item()}

    seconds = train(f"decoder denoise={denoise} seed={seed}", model.parameters(), steps, 2e-3, loss_of_step)
    return model.state_dict(), seconds
