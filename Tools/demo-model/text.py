"""The language of the world: vocabulary, tokenizer, captions, questions and their answers."""
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from world import COLOURS, OBJECT_NAMES, PART_WORDS, PRIMITIVES

SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
FUNCTION = ["USER", "ASSISTANT", ":", "?", ",", ".", "a", "and", "of", "photo", "with", "on", "the", "in", "is", "there",
            "what", "which", "parts", "part", "does", "have", "image", "object", "above", "below", "left", "right",
            "yes", "no", "nothing", "background"]
VOCABULARY = list(dict.fromkeys(SPECIAL + FUNCTION + PRIMITIVES + OBJECT_NAMES + PART_WORDS + list(COLOURS)))
ID = {word: index for index, word in enumerate(VOCABULARY)}
BOS, EOS, PAD, IMAGE = (ID[word] for word in ("<s>", "</s>", "<pad>", "<image>"))

PREFIX = "USER :"
OBJECT_QUESTION = "what is in the image ?"
PROMPT = f"{PREFIX} <image> {OBJECT_QUESTION} ASSISTANT :"


def ids(text):
    """Token ids of a text of known words separated by spaces, without `<s>`."""
    return [ID[word] for word in text.split()]


def make_tokenizer():
    """WordLevel tokenizer: one word, one token; `<s>` in front."""
    tokenizer = Tokenizer(models.WordLevel(ID, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                                   pad_token="<pad>", additional_special_tokens=["<image>"])


def caption(rng, objects, parts):
    """'a photo of a cat with a red ear , a blue leg on the left and ...' from one scene's arrays (see scenes.encode)."""
    phrases = []
    for owner in range(1, 1 + int((objects > 0).sum())):
        own = parts[parts[:, 0] == owner]
        chosen = own[rng.permutation(len(own))[:3]]
        listed = " , ".join(f"a {list(COLOURS)[colour - 1]} {PART_WORDS[word - 1]}" for _, word, colour in chosen)
        side = ("", " on the left", " on the right")[owner if objects[1] else 0]
        phrases.append(f"a {OBJECT_NAMES[objects[owner - 1] - 1]} with {listed}{side}")
    return "a photo of " + " and ".join(phrases)


def ask_object(rng, word, owner, objects):
    return OBJECT_QUESTION, " and ".join(OBJECT_NAMES[i - 1] for i in objects if i)


def ask_presence(rng, word, owner, objects):
    present = sorted(set(word[word > 0].tolist()))
    absent = [w for w in range(1, len(PART_WORDS) + 1) if w not in present]
    answer = rng.random() < .5
    asked = rng.choice(present if answer else absent)
    return f"is there a {PART_WORDS[asked - 1]} in the image ?", "yes" if answer else "no"


def ask_parts(rng, word, owner, objects):
    which = int(rng.integers(1, 1 + int((objects > 0).sum())))
    own = sorted(set(word[owner == which].tolist()))
    return (f"which parts does the {OBJECT_NAMES[objects[which - 1] - 1]} have ?",
            " , ".join(PART_WORDS[w - 1] for w in own) or "nothing")


def ask_relation(rng, word, owner, objects):
    rows = {w: (word == w).nonzero()[0].mean() // 8 for w in sorted(set(word[word > 0].tolist()))}
    pairs = [(a, b) for a in rows for b in rows if abs(rows[a] - rows[b]) >= 1]
    if not pairs:
        return ask_presence(rng, word, owner, objects)
    a, b = pairs[int(rng.integers(len(pairs)))]
    return f"is the {PART_WORDS[a - 1]} above the {PART_WORDS[b - 1]} ?", "yes" if rows[a] < rows[b] else "no"


def dialogue(rng, word, owner, objects, turns):
    """Question-answer turns about one scene, read off its patch words [64] and owners [64]: (ids, is_answer) lists.

    The first turn continues `<s> USER : <64 patches>`; the object question is always among the turns.
    """
    others = [ask_presence, ask_parts, ask_relation]
    kinds = [ask_object] + [others[int(i)] for i in rng.permutation(3)[:turns - 1]]
    tokens, answers = [], []
    for turn, kind in enumerate(kinds[int(i)] for i in rng.permutation(turns)):
        question, answer = kind(rng, word, owner, objects)
        question = ids(("" if turn == 0 else f"{PREFIX} ") + question + " ASSISTANT :")
        answer = ids(answer) + [EOS]
        tokens += question + answer
        answers += [False] * len(question) + [True] * len(answer)
    return tokens, answers
