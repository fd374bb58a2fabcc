"""Attention knockouts in transformers: additive masks put into every attention layer by forward pre-hooks (eager attention)."""
from contextlib import contextmanager

import torch

CLS_POLICIES = ("blind", "isolated", "open")
CONDITIONS = {"V+ T+": (False, False), "V- T+": (True, False), "V+ T-": (False, True), "V- T-": (True, True)}


def vision_edges(tokens, policy):
    """[T,T] bool: what each token (CLS first) may attend to when patches no longer attend to each other.

    blind: patches read themselves and CLS, CLS reads only itself. isolated: every token reads only itself.
    open: patches read themselves and CLS, CLS reads everything.
    """
    allowed = torch.eye(tokens, dtype=torch.bool)
    if policy in ("blind", "open"):
        allowed[:, 0] = True
    if policy == "open":
        allowed[0] = True
    return allowed


def text_edges(is_image):
    """[T,T] bool from is_image [T]: causal, but an image token reads no other image token."""
    tokens = len(is_image)
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    between = is_image[:, None] & is_image[None] & ~torch.eye(tokens, dtype=torch.bool)
    return causal & ~between


@contextmanager
def masked(attentions, allowed):
    """Runs the block with `allowed` [T,T] in these attention modules; single-token decoding steps are left alone."""
    additive = torch.where(allowed, 0., torch.finfo(torch.float32).min)[None, None]

    def replace(module, args, kwargs):
        hidden = args[0] if args else kwargs["hidden_states"]
        if hidden.shape[1] == allowed.shape[0]:
            kwargs["attention_mask"] = additive
        return args, kwargs

    hooks = [module.register_forward_pre_hook(replace, with_kwargs=True) for module in attentions]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def knocked_out(model, input_ids, cut_vision, cut_text, policy="blind"):
    """A llava model with patch attention and/or image-to-image decoder attention cut in every layer; input_ids [T]."""
    attentions = lambda part: [module for name, module in part.named_modules() if name.endswith("self_attn")]
    is_image = input_ids == model.config.image_token_index
    vision = model.model.vision_tower
    with masked(attentions(vision) if cut_vision else [], vision_edges(1 + int(is_image.sum()), policy)), \
            masked(attentions(model.model.language_model) if cut_text else [], text_edges(is_image)):
        yield
