"""Answers requests as users of optimum, sentence-transformers and onnxruntime-genai would have them answered, in their own environment.

Reads [folder, what, input, precision] as a line of JSON each from standard input, and writes {"found": …} or {"error": …} for each.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any


def embed(folder: str, texts: list[str]) -> Any:
    """What sentence-transformers gives for texts."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, backend="onnx", device="cpu").encode(texts).tolist()


def features(folder: str, given: dict[str, Any]) -> Any:
    """What optimum's model gives for tokens."""
    from optimum.onnxruntime import ORTModelForFeatureExtraction

    return ORTModelForFeatureExtraction.from_pretrained(folder)(**tensors(given)).last_hidden_state.tolist()


def continued(folder: str, given: dict[str, Any]) -> Any:
    from optimum.onnxruntime import ORTModelForCausalLM

    return generated(ORTModelForCausalLM, folder, given)


def translated(folder: str, given: dict[str, Any]) -> Any:
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    return generated(ORTModelForSeq2SeqLM, folder, given)


def generated(kind: Any, folder: str, given: dict[str, Any]) -> Any:
    """The tokens of greedy generation, `steps` of them whatever they are."""
    steps = given.pop("steps")
    model = kind.from_pretrained(folder)
    return model.generate(**tensors(given), max_new_tokens=steps, min_new_tokens=steps, do_sample=False, num_beams=1).tolist()


def continued_by_genai(folder: str, given: dict[str, Any]) -> Any:
    """The tokens of greedy generation by onnxruntime-genai; of one text, as it pads none of several."""
    import onnxruntime_genai as genai

    (tokens,) = given["input_ids"]
    model = genai.Model(folder)
    parameters = genai.GeneratorParams(model)
    length = len(tokens) + given["steps"]
    parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
    generator = genai.Generator(model, parameters)
    generator.append_tokens(tokens)
    while not generator.is_done():
        generator.generate_next_token()
    return [[int(token) for token in generator.get_sequence(0)]]


def tensors(given: dict[str, Any]) -> dict[str, Any]:
    import torch

    return {name: torch.tensor(value) for name, value in given.items()}


ANSWERS = {
    "embed": embed,
    "features": features,
    "continued": continued,
    "translated": translated,
    "continued by genai": continued_by_genai,
}

if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        folder, what, given, _ = json.loads(line)
        try:
            answer = {"found": ANSWERS[what](folder, given)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=answers, flush=True)
