"""Answers requests as users of optimum, sentence-transformers and onnxruntime-genai would have them answered, in their own environment.

Reads [folder, what, input, precision] as a line of JSON each from standard input, and writes {"found": …} or {"error": …} for each.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def embed(folder: str, texts: list[str], suffix: str) -> Any:
    """What sentence-transformers gives for texts."""
    from sentence_transformers import SentenceTransformer

    chosen = {"file_name": f"onnx/model{suffix}.onnx"} if suffix else {}
    return SentenceTransformer(folder, backend="onnx", device="cpu", model_kwargs=chosen).encode(texts).tolist()


def features(folder: str, inputs: dict[str, Any], suffix: str) -> Any:
    """What optimum's model gives for tokens."""
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    chosen = {"subfolder": "onnx", "file_name": f"model{suffix}.onnx"} if suffix else {}
    return ORTModelForFeatureExtraction.from_pretrained(folder, **chosen)(**tensors(inputs)).last_hidden_state.tolist()


def continued(folder: str, inputs: dict[str, Any], suffix: str) -> Any:
    from optimum.onnxruntime import ORTModelForCausalLM

    return generated(ORTModelForCausalLM, folder, inputs, suffix)


def translated(folder: str, inputs: dict[str, Any], suffix: str) -> Any:
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    return generated(ORTModelForSeq2SeqLM, folder, inputs, suffix)


def generated(kind: Any, folder: str, inputs: dict[str, Any], suffix: str) -> Any:
    """The tokens of greedy generation, `steps` of them whatever they are."""
    steps = inputs.pop("steps")
    chosen = {"subfolder": "onnx", "file_name": f"model{suffix}.onnx"} if suffix else {}
    model = kind.from_pretrained(folder, **chosen)
    return model.generate(**tensors(inputs), max_new_tokens=steps, min_new_tokens=steps, do_sample=False, num_beams=1).tolist()


def continued_by_genai(folder: str, inputs: dict[str, Any], suffix: str) -> Any:
    """The tokens of greedy generation by onnxruntime-genai; of one text, because it has no padding."""
    import onnxruntime_genai as genai

    (tokens,) = inputs["input_ids"]
    config = genai.Config(folder)
    if suffix:
        config.overlay(json.dumps({"model": {"decoder": {"filename": f"onnx/model{suffix}.onnx"}}}))
    model = genai.Model(config)
    parameters = genai.GeneratorParams(model)
    length = len(tokens) + inputs["steps"]
    parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = genai.Generator(model, parameters)
    generator.append_tokens(tokens)
    while not generator.is_done():
        generator.generate_next_token()
    return [[int(token) for token in generator.get_sequence(0)]]


def tensors(inputs: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: torch.tensor(value) for name, value in inputs.items()}


SUFFIXES = {"fp32": "", "fp16": "_fp16", "q8": "_quantized", "int8": "_int8", "q4": "_q4", "q4f16": "_q4f16"}
ANSWERS = {
    "embed": embed,
    "features": features,
    "continued": continued,
    "translated": translated,
    "continued by genai": continued_by_genai,
}

if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print to standard output too
    for line in sys.stdin:
        folder, what, inputs, precision = json.loads(line)
        try:
            answer = {"found": ANSWERS[what](folder, inputs, SUFFIXES[precision])}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
