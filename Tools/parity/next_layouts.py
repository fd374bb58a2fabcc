#!/usr/bin/env python3
"""What transformers makes of pictures of many sizes for LLaVA-NeXT: canvas, resized size, kept grid, tokens, and the pixels' SHA-256.

    python Tools/parity/next_layouts.py > Tests/CheckpointsTests/Fixtures/next_layouts.json

Sizes from seed 5; the canvases of LLaVA-1.6 (336 pixels, patches of 14), and for the pixels those of the parity fixture `next_llama`
(12 pixels). A picture of the pixel cases is the bytes (31 x + 17 y + 7 c) xor (x y), so that a test can draw it.
"""

import hashlib
import json
import types

import numpy
import torch
from PIL import Image
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_next.modeling_llava_next import unpad_image
from transformers.models.llava_next.processing_llava_next import LlavaNextProcessor

LARGE = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
SMALL = [[12, 24], [24, 12], [24, 24], [36, 12], [12, 36]]
FIXED = [(672, 672), (336, 336), (640, 480), (1, 1), (1000, 10), (10, 1000), (3000, 2999), (333, 500), (2016, 672), (1344, 448)]


def layout(width, height):
  canvas = select_best_resolution((height, width), LARGE)
  fitted = get_patch_output_size(numpy.zeros((3, height, width), numpy.uint8), canvas, ChannelDimension.FIRST)
  merged = unpad_image(torch.zeros(1, canvas[0] // 14, canvas[1] // 14), (height, width))
  processor = types.SimpleNamespace(
    image_processor=types.SimpleNamespace(image_grid_pinpoints=LARGE), patch_size=14, num_additional_image_tokens=0
  )
  processor._get_unpadded_features = types.MethodType(LlavaNextProcessor._get_unpadded_features, processor)
  tokens = LlavaNextProcessor._get_number_of_features(processor, height, width, 336, 336)
  return [width, height, *canvas, *fitted, *merged.shape[1:], tokens]


def pixels(width, height):
  y, x, c = numpy.mgrid[0:height, 0:width, 0:3]
  picture = Image.fromarray((((31 * x + 17 * y + 7 * c) ^ (x * y)) & 255).astype(numpy.uint8))
  processor = LlavaNextImageProcessorPil(
    size={"shortest_edge": 12}, crop_size={"height": 12, "width": 12}, image_grid_pinpoints=SMALL
  )
  values = processor(picture, return_tensors="np")["pixel_values"][0].astype("<f4")
  return [width, height, values.shape[0], hashlib.sha256(values.tobytes()).hexdigest()]


def main():
  random = numpy.random.Generator(numpy.random.PCG64(5))
  sizes = FIXED + [tuple(size) for size in random.integers(1, 1500, (150, 2)).tolist()]
  small = [(61, 47), (12, 12), (24, 24), (5, 90), (90, 5), (13, 29), (200, 199), (1, 1)]
  rows = {"layouts": [layout(*size) for size in sizes], "pixels": [pixels(*size) for size in small]}
  print("{" + ",\n".join(f'"{key}": [\n' + ",\n".join(map(json.dumps, value)) + "]" for key, value in rows.items()) + "}")


if __name__ == "__main__":
  main()
