"""Fork a process for each archive, with torch imported once. `archive_processes.py` starts this as a file.

A request is one message on standard input, a socket: the arguments, environment and folder of the process as JSON, with the
descriptors of its standard input, output and error. The answers are its number, and a word when its parent has ended. It then is a
child of the requesting process, which is a subreaper for that long.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from runpy import run_path
from typing import Any, NoReturn

_LONGEST = 1 << 20


def serve(path: str) -> None:
    """Answer requests until their end."""
    main = run_path(path)["main"]
    control = socket.socket(fileno=0)
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _LONGEST, 3)
        if not message:
            return
        number = os.fork()
        if not number:
            _fork_orphan(control, json.loads(message), descriptors, main)
        os.waitpid(number, 0)
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(b"done")


def _fork_orphan(control: socket.socket, request: dict[str, Any], descriptors: list[int], main: Any) -> NoReturn:
    """Fork the process, report its number, and end: the system gives it to the subreaper."""
    number = os.fork()
    if number:
        control.send(str(number).encode())
        os._exit(0)
    try:
        control.detach()
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
        sys.argv = request["arguments"]
        main()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
