"""`python -m converter.onnx --model=… OUTPUT`: the documented line, with the documented defaults."""

from __future__ import annotations

import sys

from converter.cli import main

if __name__ == "__main__":
    main(["onnx", "--feature=default", "--profile=documented", *sys.argv[1:]])
