"""A whole station of real processes over real brokers behind go-betweens, to be harmed and looked at."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from common.broker.client import call
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.broker.layout import ensure_layout
from common.broker.plans import PlanStore
from common.errors import BrokerError
from common.partition import Keys
from tests.faults.build import Build
from tests.faults.role import Role, Size
from tests.faults.role_process import CLOCK_SHIFT
from tests.faults.witness import Witness
from tests.proxy import Proxy
from tests.waiting import until

READY_S = 60.0
WATCH_PERIOD_S = 0.1
SESSION_SILENT_S = 11.0
"""An older session takes over only from one that has been silent for ten seconds."""


class Rig:
    """Brokers, go-betweens and roles; a context manager that leaves no process behind.

    Attributes:
        frames: Go-between of the frames broker.
        state: Go-between of the state broker.
        pair: The brokers themselves.
        witness: Sees past the go-betweens.
        roles: The processes by name.
        session_after: Sessions of the producer that is at work now are not smaller.
    """

    def __init__(self, folder: Path, build: Build | None = None) -> None:
        self.folder = folder
        self.build = build or Build()
        self.roles: dict[str, Role] = {}
        self.session_after = 0
        self.clock_shift_s = 0.0
        self._stack = ExitStack()
        self._over = threading.Event()
        self._guard = threading.RLock()
        self.pair = EmbeddedPair(folder / "brokers")
        if self.build.state_folder is not None:
            self.pair.state = EmbeddedBroker(self.build.state_folder, persist=True, name="state")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._guard:
            roles = sorted(self.roles.values(), key=lambda role: not role.name.startswith("producer"))
        for role in roles:
            role.end()
        self._stack.close()

    def add(self, kind: str, number: int, **variables: str) -> Role:
        """Start one more process of a role and wait until it is ready; it is started again whenever it dies."""
        arguments = [kind]
        if kind == "infer":
            backend = variables.pop("backend", self.build.backend)
            arguments += ["--index", str(number)] + (["--backend", backend] if backend else [])
        role = Role(f"{kind}-{number}", arguments, self._environment() | variables, self.folder)
        with self._guard:
            self.roles[role.name] = role
            role.start()
        until(lambda: role.answer("/readyz")[0] == 200, READY_S)
        return role

    def remove(self, name: str) -> int:
        """End a process in order; gives its exit status."""
        with self._guard:
            role = self.roles.pop(name)
            role.wanted = False
        return role.end()

    @contextmanager
    def besides(self, kind: str, number: int, **variables: str) -> Iterator[Role]:
        """Have one more process of a role for a while."""
        role = self.add(kind, number, **variables)
        try:
            yield role
        finally:
            if role.name in self.roles:
                self.remove(role.name)

    def show(self) -> None:
        """Start the cameras and wait until everything flows."""
        self.session_after = int((time.time() + self.clock_shift_s) * 1000)
        began = time.time()
        shift = {CLOCK_SHIFT: str(self.clock_shift_s)} if self.clock_shift_s else {}
        arguments = ["producer"]
        role = Role("producer-0", arguments, self._environment() | shift, self.folder)
        with self._guard:
            self.roles[role.name] = role
            role.start()
        until(lambda: not self.trouble(began), READY_S)

    def hide(self) -> None:
        """End the cameras in order, and wait until all they sent is judged and accounted for."""
        self.remove("producer-0")
        until(self._settled, 40)

    def restore(self) -> None:
        """Undo whatever a scenario that failed has left, so that the next one starts well."""
        for proxy in (self.frames, self.state):
            proxy.heal()
        for broker, endpoint in ((self.pair.frames, "frames"), (self.pair.state, "state")):
            if broker.alive():
                os.kill(broker.pid, signal.SIGCONT)
            with suppress(BrokerError):
                self.ask(endpoint, "CONFIG SET", "maxmemory", 0)
        for name in list(self.roles):
            self.remove(name)
        if self.clock_shift_s:
            self.clock_shift_s = 0.0
            self.pause(SESSION_SILENT_S)
        self._add_all()

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self._over.wait(seconds)

    def trouble(self, since_s: float = 0.0) -> str:
        """Say what is not yet as in good times; see `Witness.trouble`."""
        pids = {role.pid for name, role in self.roles.items() if name.startswith("judge") and role.running}
        try:
            return self.witness.trouble(pids, since_s)
        except BrokerError as error:
            return f"a broker: {error.code}"

    def recovered_in(self, since: float, timeout_s: float) -> float:
        """Wait until all is well again; gives the seconds since ``since``, a monotonic time."""
        wall = time.time() - (time.monotonic() - since)
        until(lambda: not self.trouble(wall), timeout_s)
        return time.monotonic() - since

    def wait_for(self, what: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait until a question is answered with yes; a broker that does not answer says no."""

        def asked() -> bool:
            try:
                return bool(what())
            except BrokerError:
                return False

        until(asked, timeout_s)

    def owners(self) -> set[int]:
        """Give the processes that hold partitions."""
        return {int(holder.owner.split("-")[-2]) for holder in self.witness.store.owners().values()}

    def sizes(self) -> dict[tuple[str, int], Size]:
        """Measure every process; by name and start, so that a replaced process is another one."""
        found = {(role.name, role.starts): role.size() for role in self.roles.values()}
        return {name: size for name, size in found.items() if size is not None}

    def _settled(self) -> bool:
        try:
            witness = self.witness
            if not (witness.final(self.session_after) and witness.judged() and not witness.pending()):
                return False
            return all(account.unaccounted == 0 for account in witness.accounts().values())
        except BrokerError:
            return False

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        frames_url, state_url = self._open_brokers()
        self.keys = Keys("mw", self.build.partitions)
        self.plan = self.build.plan_at(time.time())
        self.witness = Witness(frames_url, state_url, self.keys, self.plan)
        self._stack.callback(self.witness.close)
        ensure_layout(self.witness.state, self.keys.prefix, self.keys.partitions)
        PlanStore(self.witness.state, self.keys.prefix).publish(self.plan.to_bytes())
        threading.Thread(target=self._supervise, daemon=True).start()
        self._add_all()

    def _open_brokers(self) -> tuple[str, str]:
        """Start both brokers and give their own URLs; roles are sent to the go-betweens."""
        self._stack.enter_context(self.pair)
        for broker in (self.pair.frames, self.pair.state):
            thread = threading.Thread(target=broker.watch, args=(_Waiting(self._over),), daemon=True)
            thread.start()
        self.frames = self._stack.enter_context(Proxy(self.pair.frames.url))
        self.state = self._stack.enter_context(Proxy(self.pair.state.url))
        return self.pair.frames.url, self.pair.state.url

    def _urls(self) -> tuple[str, str]:
        return self.frames.url, self.state.url

    def _add_all(self) -> None:
        for number in range(self.build.workers):
            self.add("infer", number)
        for number in range(self.build.judges):
            self.add("judge", number)

    def _supervise(self) -> None:
        while not self._over.wait(WATCH_PERIOD_S):
            with self._guard:
                for role in self.roles.values():
                    role.watch()

    def _environment(self) -> dict[str, str]:
        frames_url, state_url = self._urls()
        return {
            "MASKWATCH_FRAMES_URL": frames_url,
            "MASKWATCH_STATE_URL": state_url,
            "MASKWATCH_JUDGE_KEEP_RESULTS_S": "7200",  # the oracle judges them all once more
            "OMP_NUM_THREADS": "1",
            **self.build.variables,
        }

    def ask(self, endpoint: str, *command: object) -> object:
        """Send one command to the ``frames`` or ``state`` broker itself."""
        return call(self.witness.frames if endpoint == "frames" else self.witness.state, *command)


class _Waiting:
    def __init__(self, over: threading.Event) -> None:
        self._over = over

    def wait(self, timeout_s: float, /) -> bool:
        return self._over.wait(timeout_s)
