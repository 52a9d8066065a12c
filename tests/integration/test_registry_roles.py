"""Who may do what to the model registry on a broker: a promoter all of it, a worker follows and reports, no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker
from common.broker.models.store import BrokerRegistry
from common.errors import BrokerRefusedError
from common.models.registry import WorkerModels
from maskwatch.rights import ROLES, rules
from tests.model_versions import make_version

PROMOTER, WORKER = rules(ROLES["trainer"], "state"), rules(ROLES["infer"], "state")
"""The rights of `docs/security.md`, in the words of ACL SETUSER."""


def user(broker: EmbeddedBroker, name: str, rules: list[str]) -> Client:
    call(connect(broker.url), "ACL SETUSER", name, "reset", "on", ">pw", *rules)
    return connect(broker.url.replace(f":{broker.password}@", f"{name}:pw@"))


def test_a_promoter_and_a_worker_manage_with_narrow_users(private_broker: EmbeddedBroker, tmp_path: Path) -> None:
    promoter = BrokerRegistry(user(private_broker, "promoter", PROMOTER), "mw")
    worker = BrokerRegistry(user(private_broker, "worker", WORKER), "mw")
    refs = [promoter.publish(make_version(tmp_path, name)) for name in ("7", "8")]
    promoter.promote([refs[0]], 0, "ana", "")

    assert worker.current().detector == refs[0]
    assert worker.rollout() is None
    assert worker.fetch(refs[0], tmp_path / "cache").is_dir()
    worker.report("w", WorkerModels(1, refs[0], None, "openvino-cpu", "serving"))
    worker.refused([refs[1]], "w", "probe: off by 0.2")

    assert [entry.action for entry in promoter.log(2)] == ["refused", "promoted"]
    assert list(promoter.workers()) == ["w"]
    promoter.retire(refs[1], "ana", "")
    promoter.rollback("ana", "")
    assert promoter.sweep() == 0
    for forbidden in (
        lambda: worker.promote([refs[0]], 2, "w", ""),
        lambda: worker.rollback("w", ""),
        lambda: worker.retire(refs[0], "w", ""),
        lambda: worker.publish(make_version(tmp_path, "9")),
    ):
        with pytest.raises(BrokerRefusedError) as caught:
            forbidden()
        assert caught.value.code in ("noperm", "err")
    assert promoter.current().generation == 2
    assert [version.ref for version in promoter.versions()] == [refs[0]]
