"""Settings: command line over environment over default; a wrong one stops with its name and the nearest."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import ConfigError
from common.settings import ServiceSettings, load


def test_the_command_line_wins_over_the_environment_over_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWATCH_PREFIX", "env")
    monkeypatch.setenv("MASKWATCH_MAX_AGE_S", "3")
    settings = load(ServiceSettings, prefix="cli", metrics_port=None)
    assert (settings.prefix, settings.max_age_s, settings.grace_s) == ("cli", 3.0, 8.0)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("MASKWATCH_MAX_AGE", "3", "MASKWATCH_MAX_AGE: unknown variable; did you mean 'MASKWATCH_MAX_AGE_S'?"),
        ("MASKWATCH_MAX_AGE_S", "0", "max_age_s: Input should be greater than 0"),
        ("MASKWATCH_METRICS_PORT", "99999", "metrics_port: Input should be less than or equal to 65535"),
        ("MASKWATCH_STATE_PASSWORD_FILE", "/nowhere", "state_password_file: cannot be read"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(ServiceSettings)
    assert complaint in str(caught.value)


def test_variables_of_another_service_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKWATCH_INFER_BATCH_SIZE", "8")
    assert load(ServiceSettings).prefix == "mw"


def test_a_password_comes_from_its_file_and_never_shows(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("canary-4711\n")
    settings = load(ServiceSettings, state_password_file=path)
    assert settings.state_password is not None
    assert settings.state_password.get_secret_value() == "canary-4711"
    assert "canary-4711" not in repr(settings)
    assert "canary-4711" not in settings.model_dump_json()
