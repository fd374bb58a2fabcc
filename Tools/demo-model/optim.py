"""What the three training stages share: schedule, optimiser step, image normalisation, log line."""
import math
import time

import torch


def normalise(pixels):
    """[N,64,64,3] u8 to [N,3,64,64] f32 in [-1,1]: the CLIP processor with mean and std 0.5 at the native size."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def learning_rate(step, steps, peak, warmup=50, floor=.03):
    """Linear warm-up, then cosine down to `floor` times the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (floor + (1 - floor) * .5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


def train(name, parameters, steps, peak, loss_of_step, betas=(.9, .98), decay=.05):
    """AdamW for a fixed number of steps. `loss_of_step(step)` gives (loss, {name: float}); bf16 autocast, clip 1.0."""
    parameters = list(parameters)
    optimiser = torch.optim.AdamW(parameters, lr=peak, betas=betas, weight_decay=decay)
    start = time.process_time()
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = learning_rate(step, steps, peak)
        with torch.autocast("cpu", torch.bfloat16):
            loss, shown = loss_of_step(step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if step % 50 == 0 or step == steps - 1:
            values = " ".join(f"{key} {value:.3f}" for key, value in shown.items())
            print(f"{name} step {step} cpu {time.process_time() - start:.0f}s {values}", flush=True)
    return time.process_time() - start
