"""What is behind the subjects: PostgreSQL, MariaDB, Redis and iperf3, each in one container that all subjects share.

PostgreSQL, MariaDB and Redis have images that scripts/images builds. iperf3, and Redis where there is no recipe for it, are the
distribution's own programs: the machine's /usr is mounted, read-only, in a container that has nothing else.
"""

import os
import resource
from dataclasses import dataclass

from . import probe, system
from .process import Failed, run, wait_for

PROGRAMS = ("redis-benchmark", "redis-cli", "redis-server", "pgbench", "psql", "mariadb", "mariadb-slap", "iperf3")
READY_TIMEOUT_S = 30
SCALE = 5  # 500,000 rows, 75 MB: all of it fits in shared_buffers
PASSWORD = "bench"
PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379, "none": 5201}
HOST_PROGRAMS = ["--volume", "/usr:/usr:ro", "--volume", "/lib:/lib:ro", "--volume", "/lib64:/lib64:ro"]


@dataclass(frozen=True)
class Engine:
    """One backend. `name` is what clients log in with, so it is the route, the role and the container at once."""

    protocol: str
    name: str
    address: tuple
    pid: int
    image: str

    def check(self, address):
        """Logs in at an address that should lead here. iperf3 has no login: its warm-up round tells."""
        if self.protocol == "postgres":
            probe.postgres(address, self.name)
        elif self.protocol == "mysql":
            probe.mysql(address, self.name, PASSWORD)
        elif self.protocol == "redis":
            probe.redis(address, self.name, PASSWORD)
        return True


def start(stack, docker, protocols, workdir, load_cpus):
    """The engines for these protocols, ready."""
    makers = {"postgres": postgres, "mysql": mariadb, "redis": redis, "none": iperf}
    engines = {}
    for protocol in protocols:
        name = f"bench-{protocol}-{os.getpid()}"
        options = ["--label", f"pierhead.protocol={protocol}", "--label", f"pierhead.port={PORTS[protocol]}"]
        image, options_more, command = makers[protocol](docker, name, workdir)
        address, pid = docker.start(stack, name, [*options, *options_more], image, *command)
        engine = Engine(protocol, name, (address, PORTS[protocol]), pid, image)
        if load_cpus:
            os.sched_setaffinity(pid, load_cpus)
        wait_for(lambda: engine.check(engine.address), READY_TIMEOUT_S, f"{name} does not become ready")
        engines[protocol] = engine
    fill(engines)
    return engines


# What each engine's container is made of: the image, options of `docker create`, the command.


def postgres(docker, name, _workdir):
    """No password is asked: hashing one costs client and server 5 ms for each login, which would hide what the
    subjects cost in connect-query-close. The address is on this machine's own bridge."""
    options = ["--env", f"POSTGRES_USER={name}", "--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--shm-size", "1g",
               "--tmpfs", "/var/lib/postgresql/data:size=1g"]
    settings = ["max_connections=400", "shared_buffers=256MB", "fsync=off", "autovacuum=off"]
    return docker.image("pierhead/postgres"), options, ["postgres", *(word for text in settings for word in ("-c", text))]


def mariadb(docker, name, _workdir):
    """A password is asked: logging in to MariaDB costs two hashes, of microseconds."""
    variables = {"MARIADB_USER": name, "MARIADB_PASSWORD": PASSWORD, "MARIADB_DATABASE": name,
                 "MARIADB_RANDOM_ROOT_PASSWORD": "1", "MARIADB_INITDB_SKIP_TZINFO": "1"}
    options = [*(word for key, value in variables.items() for word in ("--env", f"{key}={value}")),
               "--tmpfs", "/var/lib/mysql:size=1g,mode=1777"]
    return docker.image("pierhead/mariadb"), options, ["mariadbd", "--max-connections=400", "--back-log=400"]


def redis(docker, name, workdir):
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
    options = ["--ulimit", f"nofile={open_files}:{open_files}", "--volume", f"{config}:/redis.conf:ro"]
    if docker.has_recipe("redis"):
        return docker.image("pierhead/redis"), [*options, "--entrypoint", "redis-server"], ["/redis.conf"]
    return docker.image("pierhead/tiny"), [*options, *HOST_PROGRAMS], [system.find("redis-server"), "/redis.conf"]


def iperf(docker, _name, _workdir):
    return docker.image("pierhead/tiny"), HOST_PROGRAMS, [system.find("iperf3"), "-s"]


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
