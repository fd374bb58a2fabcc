"""Lens ranks and answers of a llava checkpoint on the dataset, under attention knockouts, with transformers in fp32."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, LlavaForConditionalGeneration, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from dataset import COVERAGE
from knockout import knocked_out
from world import GRID, PATCH

BATCH, NEW_TOKENS = 50, 16


@dataclass
class Example:
    """One line of the dataset: the image, the record, and for each part its label and the indices of its patches."""
    image: Image.Image
    record: dict
    parts: list


def patches_of(mask, value):
    """Indices (raster order) of the patches that pixel value `value` covers by half or more."""
    share = (mask == value).reshape(GRID, PATCH, GRID, PATCH).mean((1, 3)).flatten()
    return np.flatnonzero(share >= COVERAGE).tolist()


def read_dataset(folder, limit=None):
    """Examples of an ImageFolder written by dataset.py."""
    folder, examples = Path(folder), []
    for line in (folder / "metadata.jsonl").read_text().splitlines()[:limit]:
        record = json.loads(line)
        masks = {part["mask"]: np.array(Image.open(folder / part["mask"])) for part in record["parts"]}
        parts = [(part["label"], patches_of(masks[part["mask"]], part["value"])) for part in record["parts"]]
        examples.append(Example(Image.open(folder / record["file_name"]).convert("RGB"), record, parts))
    return examples


class Checkpoint:
    """A llava folder in fp32 with eager attention, and its processor with the PIL image backend."""
    def __init__(self, folder):
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        settings = json.loads((Path(folder) / "processor_config.json").read_text())
        self.processor = LlavaProcessor(CLIPImageProcessorPil.from_pretrained(folder), self.tokenizer,
                                        **{key: value for key, value in settings.items() if key != "processor_class"})

    def inputs(self, examples):
        """input_ids [B,T] and pixel_values [B,3,64,64]; all prompts of the dataset have one length."""
        return self.processor(images=[e.image for e in examples], text=[e.record["prompt"] for e in examples], return_tensors="pt")

    @torch.no_grad()
    def lens(self, inputs, cut_vision, cut_text, policy="blind"):
        """Logits [B, sites, 64, vocabulary] of the image tokens at the projector output and after each decoder layer."""
        ids, model = inputs["input_ids"], self.model
        with knocked_out(model, ids[0], cut_vision, cut_text, policy):
            hidden = model(**inputs, output_hidden_states=True).hidden_states
        norm = model.model.language_model.norm
        at_image = ids[0] == model.config.image_token_index
        normed = [norm(state) for state in hidden[:-1]] + [hidden[-1]]  # transformers returns the last one already normed
        return torch.stack([model.lm_head(state[:, at_image]) for state in normed], 1)

    @torch.no_grad()
    def answers(self, inputs, cut_vision=False, cut_text=False, policy="blind"):
        """Greedy ids (new tokens only, lists that end with `</s>` or after 16) and their texts."""
        with knocked_out(self.model, inputs["input_ids"][0], cut_vision, cut_text, policy):
            out = self.model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)
        rows, end = [], self.tokenizer.eos_token_id
        for row in out[:, inputs["input_ids"].shape[1]:].tolist():
            rows.append(row[:row.index(end) + 1] if end in row else row)
        return rows, [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows]

    @torch.no_grad()
    def behaviour(self, example, cut_vision=False, cut_text=False, policy="blind"):
        """Log-probability of the right answer, teacher-forced and summed over its tokens, and those [vocabulary] of the prompt's next token."""
        inputs = dict(self.inputs([example]))
        answer = torch.tensor([self.tokenizer.encode(example.record["answer"], add_special_tokens=False)])
        ids = torch.cat([inputs["input_ids"], answer], 1)
        with knocked_out(self.model, ids[0], cut_vision, cut_text, policy):
            logits = self.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0]
        first = inputs["input_ids"].shape[1] - 1
        logprobs = logits[first:-1].double().log_softmax(-1)
        return logprobs[torch.arange(answer.shape[1]), answer[0]].sum().item(), logprobs[0]

    def ranks(self, logits, label):
        """1-based rank of a label in logits [sites, patches, vocabulary], over the whole vocabulary: [sites, patches]."""
        target = logits[..., self.tokenizer.convert_tokens_to_ids(label), None]
        return 1 + (logits > target).sum(-1)


def leak(checkpoint, example, policy, patch=27):
    """Largest change of any other image token's lens logits when one patch's pixels are inverted with both cuts; 0 if nothing leaks."""
    inputs = dict(checkpoint.inputs([example]))
    row, column = (PATCH * place for place in divmod(patch, GRID))
    changed = inputs["pixel_values"].clone()
    changed[:, :, row:row + PATCH, column:column + PATCH] *= -1
    before, after = (checkpoint.lens({**inputs, "pixel_values": pixels}, True, True, policy)[0] for pixels in (inputs["pixel_values"], changed))
    moved = (before - after).abs().amax((0, 2))
    return moved[torch.arange(GRID * GRID) != patch].max().item()


def batches(examples):
    return [examples[start:start + BATCH] for start in range(0, len(examples), BATCH)]


def best_ranks(checkpoint, examples, cut_vision, cut_text, policy="blind"):
    """Per example, an array [parts, sites]: the best rank of each part's label over its patches."""
    found = []
    for batch in batches(examples):
        logits = checkpoint.lens(checkpoint.inputs(batch), cut_vision, cut_text, policy)
        for row, example in zip(logits, batch):
            found.append(np.array([checkpoint.ranks(row[:, patches], label).min(-1).values.tolist() for label, patches in example.parts]))
    return found


def random_patch_ranks(checkpoint, examples, seed=0, draws=20):
    """Clean, last layer: per example [parts, draws], the best rank over as many random patches without that label."""
    rng, found = np.random.default_rng(seed), []
    for batch in batches(examples):
        logits = checkpoint.lens(checkpoint.inputs(batch), False, False)[:, -1]
        for row, example in zip(logits, batch):
            found.append(np.array([[checkpoint.ranks(row[elsewhere(rng, example, label, len(patches))], label).min().item()
                                    for _ in range(draws)] for label, patches in example.parts]))
    return found


def elsewhere(rng, example, label, count):
    """`count` random patches of the image that belong to no part with this label (fewer only if there are fewer)."""
    taken = {patch for word, patches in example.parts if word == label for patch in patches}
    free = [patch for patch in range(GRID * GRID) if patch not in taken]
    return rng.choice(free, min(count, len(free)), replace=False)


def accuracy(checkpoint, examples, cut_vision=False, cut_text=False, policy="blind"):
    """Share of exact-match answers."""
    right = [text.strip() == example.record["answer"] for batch in batches(examples)
             for text, example in zip(checkpoint.answers(checkpoint.inputs(batch), cut_vision, cut_text, policy)[1], batch)]
    return float(np.mean(right))
