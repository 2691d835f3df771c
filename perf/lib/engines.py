"""What is behind the subjects: PostgreSQL, Redis and iperf3, each in one container that all subjects share.

Redis and iperf3 are the distribution's own programs: the machine's /usr is mounted, read-only, in a container that
has nothing else. PostgreSQL needs a set-up of its own and has an image.
"""

import os
import resource
from dataclasses import dataclass

from . import probe, system
from .process import Failed, run, wait_for

PROGRAMS = ("redis-benchmark", "redis-cli", "redis-server", "pgbench", "iperf3")
READY_TIMEOUT_S = 30
SCALE = 5  # 500,000 rows, 75 MB: all of it fits in shared_buffers
PASSWORD = "bench"
PORTS = {"postgres": 5432, "redis": 6379, "none": 5201}
HOST_PROGRAMS = ["--volume", "/usr:/usr:ro", "--volume", "/lib:/lib:ro", "--volume", "/lib64:/lib64:ro"]


@dataclass(frozen=True)
class Engine:
    """One backend. `name` is what clients log in with, so it is the route, the role and the container at once."""

    protocol: str
    name: str
    address: tuple
    pid: int

    def check(self, address):
        """Logs in at an address that should lead here. iperf3 has no login: its warm-up round tells."""
        if self.protocol == "postgres":
            probe.postgres(address, self.name)
        elif self.protocol == "redis":
            probe.redis(address, self.name, PASSWORD)
        return True


def start(stack, docker, protocols, workdir, load_cpus):
    """The engines for these protocols, ready."""
    makers = {"postgres": start_postgres, "redis": start_redis, "none": start_iperf}
    engines = {}
    for protocol in protocols:
        name = f"bench-{protocol}-{os.getpid()}"
        options = ["--label", f"pierhead.protocol={protocol}", "--label", f"pierhead.port={PORTS[protocol]}"]
        address, pid = makers[protocol](stack, docker, name, options, workdir)
        engine = Engine(protocol, name, (address, PORTS[protocol]), pid)
        if load_cpus:
            os.sched_setaffinity(pid, load_cpus)
        wait_for(lambda: engine.check(engine.address), READY_TIMEOUT_S, f"{name} does not become ready")
        engines[protocol] = engine
    fill(engines)
    return engines


def start_postgres(stack, docker, name, options, _workdir):
    """No password is asked: hashing one costs client and server 5 ms for each login, which would hide what the
    subjects cost in connect-query-close. The address is on this machine's own bridge."""
    image = docker.image("pierhead/postgres")
    return docker.start(
        stack, name,
        [*options, "--env", f"POSTGRES_USER={name}", "--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--shm-size", "1g",
         "--tmpfs", "/var/lib/postgresql/data:size=1g"],
        image, "postgres", "-c", "max_connections=400", "-c", "shared_buffers=256MB", "-c", "fsync=off",
        "-c", "autovacuum=off")


def start_redis(stack, docker, name, options, workdir):
    _, open_files_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = min(open_files_max, 1 << 16)
    config = os.path.join(workdir, "redis.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(f"""protected-mode no
user default off
user {name} on >{PASSWORD} allkeys allcommands
save ""
appendonly no
tcp-backlog 4096
maxclients {open_files - 64}
timeout 0
""")
    return docker.start(
        stack, name,
        [*options, *HOST_PROGRAMS, "--ulimit", f"nofile={open_files}:{open_files}", "--volume", f"{config}:/redis.conf:ro"],
        docker.image("pierhead/tiny"), system.find("redis-server"), "/redis.conf")


def start_iperf(stack, docker, name, options, _workdir):
    return docker.start(stack, name, [*options, *HOST_PROGRAMS], docker.image("pierhead/tiny"), system.find("iperf3"), "-s")


def fill(engines):
    """The data that the load asks for."""
    if "postgres" in engines:
        engine = engines["postgres"]
        host, port = engine.address
        run([system.find("pgbench"), "-i", "-q", "-s", str(SCALE), "-h", host, "-p", str(port), "-U", engine.name, engine.name],
            READY_TIMEOUT_S)
    if "redis" in engines:
        engine = engines["redis"]
        host, port = engine.address
        # redis-benchmark asks for this key, literally, when it is not told to use random ones.
        answer = run(["redis-cli", "-h", host, "-p", str(port), "--user", engine.name, "--pass", PASSWORD, "--no-auth-warning",
                      "SET", "key:__rand_int__", "abc"], READY_TIMEOUT_S).strip()
        if answer != "OK":
            raise Failed(f"redis-cli SET: {answer}")
