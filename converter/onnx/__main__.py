"""`python -m converter.onnx --model=… OUTPUT`: the documented line, with the documented default of `--feature=default`."""

from __future__ import annotations

import sys

from converter.cli import main

if __name__ == "__main__":
    main(["onnx", "--feature=default", *sys.argv[1:]])
