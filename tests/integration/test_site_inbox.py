"""News that other roles leave for the site stage become events once each, or are counted and passed over."""

from __future__ import annotations

from typing import Any

import pytest

from common.broker.client import call
from common.broker.siteinbox import SiteInbox
from tests.brokers import Brokers
from tests.site_bench import Bench, feedback, publish, site_log


def test_news_become_events_of_the_site_once_each(brokers: Brokers) -> None:
    publish(brokers)
    inbox, bench = SiteInbox(brokers.state, brokers.keys), Bench(brokers)
    inbox.post(feedback("n1"))
    inbox.post(feedback("n2", source="/sites/west/feedback", camera="gate-1"))
    inbox.post(feedback("n1"))
    bench.settle()

    one, two = site_log(brokers, "feedback")
    assert (one["id"], one["source"], one["sequence"]) == ("n1", "/sites/west", "000000000000")
    assert (two["id"], two["source"], two["sequence"]) == ("n2", "/sites/west/feedback", "000000000000")
    assert two["partitionkey"] == "gate-1"
    assert one["data"]["label"] == "mask"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "maskwatch.unheard.of.v1"}, "type"),
        ({"kind": "maskwatch.violation.started.v1"}, "type"),
        ({"data": {"label": "nonsense"}}, "data"),
        ({"at_s": 1e30}, "data"),
        ({"source": "/sites/east"}, "source"),
        ({"name": ""}, "id"),
    ],
)
def test_news_that_are_none_are_counted_and_passed_over(brokers: Brokers, fields: dict[str, Any], reason: str) -> None:
    publish(brokers)
    inbox, bench = SiteInbox(brokers.state, brokers.keys), Bench(brokers)
    inbox.post(feedback(**fields))
    call(brokers.state, "XADD", brokers.keys.site("in"), "*", "n", "no json")
    inbox.post(feedback("good"))
    bench.settle()

    assert [event["id"] for event in site_log(brokers, "feedback")] == ["good"]
    assert bench.value("maskwatch_site_news_refused_total", reason=reason) == 1
    assert bench.value("maskwatch_site_news_refused_total", reason="schema") == 1


@pytest.mark.parametrize(
    "fields", [{"source": "/sites/west/cameras/gate-1"}, {"data": {"x": "y" * 70_000}}, {"data": {"x": float("nan")}}]
)
def test_news_that_cannot_be_posted_are_refused_at_once(brokers: Brokers, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"source|bytes|JSON"):
        SiteInbox(brokers.state, brokers.keys).post(feedback(**fields))


def test_the_inbox_is_trimmed_of_what_was_read(brokers: Brokers) -> None:
    publish(brokers)
    bench = Bench(brokers)
    old = "1000-0"
    call(brokers.state, "XADD", brokers.keys.site("in"), old, "n", feedback("n1").to_bytes())
    for number in range(300):
        call(brokers.state, "XADD", brokers.keys.site("in"), f"{2000 + number}-0", "n", b"x")
    bench.settle()
    SiteInbox(brokers.state, brokers.keys).post(feedback("n2"))
    bench.settle()

    assert call(brokers.state, "XLEN", brokers.keys.site("in")) < 300
    assert len(site_log(brokers, "feedback")) == 2
