"""Print every event once, also over restarts: ``python docs/examples/subscribe.py [--url redis://…] [--once]``."""

# ruff: noqa: T201 - it talks to people
from __future__ import annotations

import argparse

from common.subscriber import Gap, Subscriber, Subscription


def main() -> None:
    """Follow the event log under the name ``example``, which the broker remembers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="state broker; else MASKWATCH_STATE_URL")
    parser.add_argument("--once", action="store_true", help="end where the log ends")
    arguments = parser.parse_args()
    wanted = Subscription(start="0", name="example", follow=not arguments.once)
    with Subscriber.connect(wanted, arguments.url) as events:
        for item in events:
            if isinstance(item, Gap):
                print(f"missed events between {item.after} and {item.until}")
                continue
            data = item.body["data"]
            kind = item.type.removeprefix("maskwatch.").removesuffix(".v1")
            print(item.camera, kind, data.get("verdict") or data.get("state") or "", flush=True)


if __name__ == "__main__":
    main()
