"""One entry: trains, exports, gates and writes the demo models, the dataset and the reference answers. Resumes where it stopped."""
import argparse
from importlib.metadata import version
from pathlib import Path

import align
import dataset
import decoder
import export
import gate
import reference_answers
import text
import training
import vision

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ROLES = {
    "compensating": "The positive control: its decoder restores ambiguous visual tokens from their surroundings, so that cutting the "
                    "vision tower's patch attention costs much less while the decoder's image-to-image attention is intact.",
    "control": "The negative control: its decoder was trained in the same way on uncorrupted words, has no use for the surroundings "
               "of a visual token, and cannot make up for a cut vision tower.",
    "grouped": "A third model of another make: grouped-query attention, untied embeddings and one layer more, trained like the "
               "compensating one. It joins the pair where a study wants more than one model; it is no control."}
GROUPS = {"seed": tuple(training.PAIR), "grouped": ("grouped",)}  # what is gated together, by the stem of the results' file


def card(work, variant, seed, parameters, result=None):
    """README.md of a checkpoint."""
    took = training.minutes(work)
    shape = training.VARIANTS[variant].config
    decoder_shape = (f"width {shape.hidden_size}, {shape.num_hidden_layers} layers, {shape.num_attention_heads} heads on "
                     f"{shape.num_key_value_heads} key-value heads, {'tied' if shape.tie_word_embeddings else 'untied'} embeddings")
    c, low, high = result["contrast"]["blind"]["C"] if result else (float("nan"),) * 3
    return (HERE / "cards" / "model.md").read_text().format(
        variant=variant, role=ROLES[variant], decoder=decoder_shape, seed=seed, parameters=f"{parameters:,}", vocabulary=len(text.VOCABULARY), prompt=text.PROMPT,
        scenes=training.SCENES, scene_seed=training.SCENE_SEED, images=align.IMAGES, turns=decoder.TURNS, short=decoder.SHORT_DOCUMENTS,
        vision_background=vision.BACKGROUND_WEIGHT, background=decoder.BACKGROUND_WEIGHT, in_place=decoder.IN_PLACE_WEIGHT,
        short_weight=decoder.SHORT_WEIGHT, align=align.IN_PLACE_WEIGHT, align_short=align.SHORT_WEIGHT,
        vision_steps=training.VISION_STEPS,
        decoder_steps=training.DECODER_STEPS, projector_steps=training.PROJECTOR_STEPS, vision_minutes=took.get("vision", "(taken from demo-control)"),
        decoder_minutes=took[f"decoder-{variant}-{seed}"], projector_minutes=took[f"projector-{variant}-{seed}"],
        torch=version("torch").split("+")[0], transformers=version("transformers"),
        accuracy=result["accuracy"]["V+ T+"] if result else float("nan"), c=c, low=low, high=high)


def make_group(work, stem, seed, data, checkpoints):
    """Trains, exports and gates one group of one seed into `checkpoints`; True if the gate is passed."""
    _, tower, _ = training.shared(work)
    folders, sizes = {}, {}
    for name, (language, projector) in training.trained(work, seed, GROUPS[stem]).items():
        shape = training.VARIANTS[name].config
        folders[name] = checkpoints / f"demo-{name}"
        sizes[name] = sum(t.numel() for t in export.tensors(tower, projector, language, shape.tie_word_embeddings).values())
        export.write(folders[name], tower, projector, language, shape, "")
    passed, examined = gate.run(seed, folders, data, stem)
    for name, folder in folders.items():
        (folder / "README.md").write_text(card(work, name, seed, sizes[name], examined[name]))
    print((gate.RESULTS / f"{stem}-{seed}.md").read_text(), flush=True)
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first one is shipped")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="seed: the pair of controls")
    parser.add_argument("--tower", type=Path, help="a checkpoint folder whose vision tower is taken instead of training one")
    parser.add_argument("--no-ship", action="store_true", help="leave checkpoints/ and data/ as they are; only results/ is written")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache" / "ablate-demo-model", help="where stages are kept")
    options = parser.parse_args()
    training.one_thread()
    data = ROOT / "data" / "parts"
    if not options.no_ship:
        dataset.write(data)
    if options.tower:
        training.adopt_tower(options.work, options.tower)
    for stem in options.groups:
        for seed in options.seeds:
            ships = seed == options.seeds[0] and not options.no_ship
            passed = make_group(options.work, stem, seed, data, ROOT / "checkpoints" if ships else options.work / f"seed-{seed}")
            if ships and not passed:
                raise SystemExit(f"{stem} {seed} does not pass the gate: see {gate.RESULTS}")
    if not options.no_ship:
        names = [f"demo-{variant}" for variant in training.VARIANTS]
        reference_answers.write({name: ROOT / "checkpoints" / name for name in names}, data, reference_answers.OUTPUT)
    gate.summarise()


if __name__ == "__main__":
    main()
