"""The command line, one file per command. Only this package prints, exits or reads CONVERTER_* variables."""

from __future__ import annotations

import atexit
import io
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

import converter
from converter.artifacts.ownership import hand_over, is_guest
from converter.backends import REFUSED
from converter.cli import actions, cache, convert, features, plan, push, report, run, validate
from converter.cli.console import console
from converter.cli.paths import library_caches, outputs
from converter.core.errors import ConverterError, UsageError
from converter.core.internal_error import internal_error
from converter.core.text import printable
from converter.hub import cache_folders

INTERRUPTED = 130


class RunByDefault(click.Group):
    """`converter --manifest models.txt` is `converter run --manifest models.txt`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help", "--version"):
            args = ["run", *args]
        actions.check_inputs(self, args[0] if args else "")
        if args and args[0] in REFUSED and args[0] not in self.commands:
            raise UsageError(REFUSED[args[0]], "mend or remove that package")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:  # Click takes it for Ctrl-D at a prompt; there is no prompt here, so it is a bug
            raise internal_error(error) from error
        finally:
            if is_guest():
                for folder in (*outputs(ctx), *cache_folders(), *library_caches()):
                    hand_over(folder)


@click.group(cls=RunByDefault, context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]})
@click.version_option(converter.__version__)
def cli() -> None:
    """Convert Hugging Face checkpoints to ONNX, TorchScript or AWS Neuron, and validate each result.

    `converter --manifest models.txt` converts a batch. Each other command does one thing.

    Exit codes: 0 success; 1 a failure; 2 wrong command line or manifest, nothing was started; 130 interrupted.
    """


for _command in (
    *(run.command, plan.command, *convert.commands, validate.command, report.command, push.command),
    *(features.command, cache.command),
):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. Only here an error becomes a message and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)  # sent by `docker stop` and by a cancelled workflow
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background process ignores it
        signal.signal(signal.SIGINT, _interrupt)
    atexit.register(_keep_exit_code)
    actions.begin()
    try:
        code = cli.main(args, prog_name="converter", standalone_mode=False) or 0
    except click.ClickException as error:
        _show(error)
        actions.usage_error(error)
        code = error.exit_code
    except ConverterError as error:
        _end_with(error)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        console.say_aside("interrupted")
        code = INTERRUPTED
    except Exception as error:  # a bug: a message and exit code 1; --debug shows the traceback
        _end_with(internal_error(error))
        code = 1
    finally:
        actions.end()
    sys.exit(code)


def _show(error: click.ClickException) -> None:
    """Print an error as Click does, with terminal controls escaped."""
    stream = io.StringIO()
    error.show(stream)
    for line in stream.getvalue().removesuffix("\n").split("\n"):
        click.echo(printable(line), err=True)


def _end_with(error: ConverterError) -> None:
    console.error(error)
    actions.error(error)


def _interrupt(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, _ignore)  # a cancelled workflow sends it after SIGINT, and the cleanup goes on
    raise KeyboardInterrupt


def _ignore(*_: object) -> None:
    """Do nothing. SIG_IGN would print an error about a signal that has just arrived."""


def _keep_exit_code() -> None:
    """Let no late signal end the process: Python removes the handlers before its end."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
