"""The door of the house: one command, ``maskwatch``, whose parts are loaded only when they are asked for.

Exit status: 0 done as asked; 1 something failed; 2 the operator's input is wrong; 3 the broker cannot be used;
130 interrupted from the keyboard.
"""

from __future__ import annotations

import sys

import typer

from maskwatch.commands import (
    bench,
    broker,
    camera,
    doctor,
    evaluate,
    events,
    feedback,
    look,
    models,
    run,
    site,
    status,
    train,
    trainer,
)

EXIT_FAILED, EXIT_INPUT, EXIT_BROKER, EXIT_INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="maskwatch",
    help="Watches many cameras and says where faces are uncovered, covered, wrongly covered or not judgeable.",
    epilog="Exit status: 0 done, 1 failed, 2 wrong input, 3 broker unusable, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # rich takes 0.2 s to load, which is most of the time that --help may take
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.register(app)
look.register(app)
doctor.register(app)
status.register(app)
app.add_typer(site.app, name="site")
app.add_typer(events.app, name="events")
app.add_typer(feedback.app, name="feedback")
app.add_typer(camera.app, name="camera")
train.register(app)
app.add_typer(trainer.app, name="trainer")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(models.app, name="models")
app.add_typer(broker.app, name="broker")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run the command line; every error on purpose becomes one clear line and a documented exit status."""
    from common.errors import BrokerError, ConfigError, MaskwatchError

    try:
        app()
    except ConfigError as error:
        _fail(str(error), EXIT_INPUT)
    except BrokerError as error:
        _fail(str(error), EXIT_BROKER)
    except MaskwatchError as error:
        _fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _fail(message: str, status: int) -> None:
    for line in message.splitlines():
        print(f"maskwatch: {line}", file=sys.stderr)
    sys.exit(status)
