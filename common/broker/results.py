"""What infer leaves behind: results for judge, and dead letters for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.broker.client import Client, call, call_many
from common.broker.clusternodes import ClusterClient
from common.broker.failures import RETRYABLE_CODES
from common.errors import BrokerError
from common.partition import Keys

RESULTS_KEPT = 100_000  # per partition, about 40 MB: nearly an hour of 6 cameras at 5 frames/s while no judge runs
LETTERS_KEPT = 10_000
LETTER_FIELD_BYTES = 2_048


class ResultWriter:
    """Appends results to the streams of their partitions (state endpoint)."""

    def __init__(self, client: Client, keys: Keys, kept: int = RESULTS_KEPT) -> None:
        """Use a command client; ``kept`` bounds each partition's stream where nobody reads it."""
        self._client = client
        self._keys = keys
        self._kept = kept

    def append_many(self, results: Sequence[tuple[int, bytes]]) -> None:
        """Append results, each a (partition, payload), in one go and in order.

        Raises:
            BrokerUnavailableError: Some may have been written; to repeat all is harmless, judge drops duplicates.
            BrokerRefusedError: At least one was refused; to repeat all is harmless.
        """
        for error in self.append_present(results).values():
            raise error

    def append_present(self, results: Sequence[tuple[int, bytes]]) -> dict[int, BrokerError]:
        """Append what can be written now, as `append_many`.

        Returns:
            Partitions of a cluster of which some were not written, because their node does not answer or has no room
            while others do; to repeat all of such a partition is harmless.

        Raises:
            BrokerUnavailableError: The broker as a whole does not answer; some may have been written.
            BrokerRefusedError: At least one was refused for good, or, by a broker that is no cluster, for now.
        """
        if not results:
            return {}
        commands = [
            ("XADD", self._keys.results(partition), "MAXLEN", "~", self._kept, "*", "r", payload)
            for partition, payload in results
        ]
        missing: dict[int, BrokerError] = {}
        for (partition, _), answer in zip(results, call_many(self._client, commands), strict=True):
            if isinstance(answer, BrokerError):
                if not isinstance(self._client, ClusterClient) or answer.code not in RETRYABLE_CODES:
                    raise answer
                missing.setdefault(partition, answer)
        return missing


class DeadLetters:
    """Keeps a note of each frame or message that was given up (state endpoint)."""

    def __init__(self, client: Client, keys: Keys) -> None:
        """Use a command client of the state endpoint."""
        self._client = client
        self._keys = keys

    def add(self, partition: int, fields: Mapping[str, str | bytes]) -> None:
        """Leave a note: ids, sha256, reason. A repeat after a lost reply only leaves a second note.

        Raises:
            ValueError: A value is a picture or as long as one; nothing was written.
        """
        for name, value in fields.items():
            raw = value.encode() if isinstance(value, str) else value
            if len(raw) > LETTER_FIELD_BYTES or raw.startswith(b"\xff\xd8"):
                raise ValueError(f"dead-letter field {name} is too long or a picture; pixels are never kept")
        pairs = [part for pair in fields.items() for part in pair]
        call(self._client, "XADD", self._keys.dead_letters(partition), "MAXLEN", "~", LETTERS_KEPT, "*", *pairs)
