"""A secured site on brokers of several servers: both endpoints are clusters, or are watched by sentinels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common.broker.client import Client, call, connect
from common.broker.embedded.brokers import EmbeddedBroker, EmbeddedPair
from common.errors import BrokerError
from maskwatch.rights import ENDPOINTS, ROLES, Endpoint, Topology
from maskwatch.rights.secretfolder import fill
from maskwatch.rights.topology import Form
from tests.secured_site import RECEIVERS, SecuredSite
from tests.topologies import cluster_node, form_cluster, port_of, quiet_port, replication_of, sentinels
from tests.waiting import until

ROOT_PASSWORD = "root-of-the-test"
NODES, SERVERS = 3, 2


@dataclass
class SpreadSite(SecuredSite):
    """Several servers for each endpoint, with the users of `maskwatch.rights` for this topology.

    Attributes:
        form: ``cluster`` or ``sentinel``.
        servers: Those of each endpoint; of a watched one the first is the primary at first.
        sentinel_ports: Of the sentinels, which watch both endpoints under the names ``frames`` and ``state``.
    """

    form: Form = "cluster"
    servers: dict[Endpoint, list[EmbeddedBroker]] = field(default_factory=dict)
    sentinel_ports: list[int] = field(default_factory=list)

    def make_users(self, password_start: str = "") -> None:
        """Make all users; every password is a random one."""
        assert not password_start
        self.secrets.mkdir(mode=0o700)
        fill(ROLES.values(), self.secrets, self.prefix, Topology(self.form, self.form))

    def url(self, endpoint: Endpoint, name: str) -> str:
        """Give the URL at which a user finds an endpoint."""
        if self.form == "cluster":
            return f"redis+cluster://{name}@" + ",".join(f"127.0.0.1:{port_of(one)}" for one in self.servers[endpoint])
        return self.sentinel_url(endpoint, name) + f"?sentinel_user={name}"

    def environment(self, name: str, **more: str) -> dict[str, str]:
        """Give a role's environment; a frame that is late on a busy machine is looked at too."""
        return super().environment(name, **({"MASKWATCH_MAX_AGE_S": "30"} | more))

    def sentinel_url(self, endpoint: Endpoint, name: str) -> str:
        """Give the same without a user of the sentinels."""
        return f"redis+sentinel://{name}@{','.join(f'127.0.0.1:{one}' for one in self.sentinel_ports)}/{endpoint}"

    def as_user(self, endpoint: Endpoint, name: str, blocking_s: float | None = None) -> Client:
        """Connect to an endpoint as a user."""
        return connect(self.url(endpoint, name), password=self.password(name), blocking_s=blocking_s)

    def root(self, endpoint: str) -> Client:
        """Connect as one who may do everything."""
        url = {one: self.url(one, "default") for one in ENDPOINTS}[endpoint]  # type: ignore[index]
        return connect(url, password=ROOT_PASSWORD)

    def doors(self) -> list[tuple[str, Client]]:
        """Give all servers and sentinels, by what they are, as one who may do everything sees them."""
        found = [(str(name), connect(one.url)) for name, servers in self.servers.items() for one in servers]
        urls = [f"redis://:{ROOT_PASSWORD}@127.0.0.1:{port}" for port in self.sentinel_ports]
        return found + [("sentinels", connect(url)) for url in urls]

    def primary(self, endpoint: Endpoint) -> EmbeddedBroker | None:
        """Find the server of an endpoint that says that it is the primary."""
        found = [one for one in self.servers[endpoint] if replication_of(one).get("role") == "master"]
        return found[0] if found else None


@contextmanager
def spread_site(folder: Path, form: Form) -> Iterator[SpreadSite]:
    """Start the servers of both endpoints, and where the form asks for them the sentinels."""
    site = SpreadSite(folder, EmbeddedPair(folder / "unused"), form=form)
    site.make_users()
    (folder / "receivers.yaml").write_text(RECEIVERS)
    with ExitStack() as stack:
        for endpoint in ENDPOINTS:
            site.servers[endpoint] = _cluster(site, endpoint) if form == "cluster" else _watched(site, endpoint)
            for server in site.servers[endpoint]:
                server.password = ROOT_PASSWORD
                server.settings += (f"aclfile {site.users(endpoint, ROOT_PASSWORD)}", *_copying(site))
                stack.enter_context(server)
            if form == "cluster":
                _form(site, endpoint)
        if form == "sentinel":
            site.sentinel_ports = stack.enter_context(_sentinels(site))
        yield site


def _cluster(site: SpreadSite, endpoint: Endpoint) -> list[EmbeddedBroker]:
    names = [f"{endpoint}{number}" for number in range(NODES)]
    return [cluster_node(site.folder, name, "cluster-node-timeout 4000", persist=endpoint == "state") for name in names]


def _watched(site: SpreadSite, endpoint: Endpoint) -> list[EmbeddedBroker]:
    found: list[EmbeddedBroker] = []
    for number in range(SERVERS):
        persist = endpoint == "state"
        one = EmbeddedBroker(site.folder, persist=persist, name=f"{endpoint}{number}", port=quiet_port())
        one.settings = (f"replicaof 127.0.0.1 {port_of(found[0])}",) if found else ()
        found.append(one)
    return found


def _copying(site: SpreadSite) -> tuple[str, str]:
    return "primaryuser replica", f"primaryauth {site.password('replica')}"


def _form(site: SpreadSite, endpoint: Endpoint) -> None:
    nodes = site.servers[endpoint]
    password = site.password("steward")
    form_cluster(nodes, [connect(f"redis://steward@127.0.0.1:{port_of(one)}", password=password) for one in nodes])


@contextmanager
def _sentinels(site: SpreadSite) -> Iterator[list[int]]:
    password = site.password("sentinel")
    settings = [
        f"aclfile {site.users('sentinels', ROOT_PASSWORD)}",
        "sentinel auth-user {service} sentinel",
        f"sentinel auth-pass {{service}} {password}",
        "sentinel down-after-milliseconds {service} 3000",
        "sentinel failover-timeout {service} 10000",
        "sentinel sentinel-user sentinel",
        f"sentinel sentinel-pass {password}",
    ]
    watched = {str(endpoint): port_of(servers[0]) for endpoint, servers in site.servers.items()}
    for servers in site.servers.values():
        until(lambda servers=servers: replication_of(servers[1]).get("master_link_status") == "up", 20)  # type: ignore[misc]
    with sentinels(site.folder, watched, settings) as ports:
        site.sentinel_ports = ports
        until(lambda: all(_complete(door) for place, door in site.doors() if place == "sentinels"), 30)
        yield ports


def _complete(sentinel: Client) -> bool:
    try:
        found = call(sentinel, "SENTINEL MASTERS")
    except BrokerError:
        return False
    return all((one["num-other-sentinels"], one["num-slaves"]) == (2, SERVERS - 1) for one in found.values())
