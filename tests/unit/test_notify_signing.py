"""Signatures by the Standard Webhooks convention, against its published example and a receiver's own check."""

from __future__ import annotations

import base64

import pytest

from common.errors import ConfigError
from tests.webhook_receiver import VerificationError, verify
from workers.notify.signing import headers, key_of, signature

OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
NEW = "whsec_" + base64.b64encode(b"n" * 32).decode()
NOW = 1_700_000_000


def test_the_example_of_the_convention_is_signed_alike() -> None:
    """Secret, message and signature as its public test vector has them."""
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret")
    signed = signature([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_while_secrets_rotate_a_receiver_may_know_either() -> None:
    made = headers([key_of(NEW, ""), key_of(OLD, "")], "id", NOW, b"{}")
    assert len(made["webhook-signature"].split(" ")) == 2
    verify(OLD, made, b"{}", NOW)
    verify(NEW, made, b"{}", NOW)


@pytest.mark.parametrize("change", ["body", "id", "timestamp", "secret"])
def test_a_changed_message_is_not_believed(change: str) -> None:
    made = headers([key_of(NEW, "")], "id", NOW, b"{}")
    changed = made | ({"webhook-id": "other"} if change == "id" else {})
    changed |= {"webhook-timestamp": str(NOW + 1)} if change == "timestamp" else {}
    with pytest.raises(VerificationError):
        verify(OLD if change == "secret" else NEW, changed, b"[]" if change == "body" else b"{}", NOW)


def test_a_replay_after_five_minutes_is_not_believed() -> None:
    made = headers([key_of(NEW, "")], "id", NOW, b"{}")
    verify(NEW, made, b"{}", NOW + 299)
    with pytest.raises(VerificationError):
        verify(NEW, made, b"{}", NOW + 301)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_secret_of_another_form_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"hook\.secrets\[0\]: must be whsec_") as caught:
        key_of(secret, "hook.secrets[0]")
    assert not secret.removeprefix("whsec_") or secret not in str(caught.value)
