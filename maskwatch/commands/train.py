"""``maskwatch train …``: handed to the trainer, which is loaded only when it is asked for."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the root."""
    app.command(
        "train",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
        add_help_option=False,
    )(train)


def train(context: typer.Context) -> None:
    """Train the networks and make releases (needs the extra `train`)."""
    try:
        from trainer.cli import app as trainer_app
    except ModuleNotFoundError as error:
        from common.errors import ConfigError

        raise ConfigError(f"training needs {error.name}; install the extra: pip install 'maskwatch[train]'") from error
    trainer_app(args=context.args, prog_name="maskwatch train")
