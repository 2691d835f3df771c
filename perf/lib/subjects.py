"""What is compared. Each subject gets the same threads, the same CPUs and the same engines, and its own best settings
within that; what they are is printed and goes into the header of the results."""

import os
import pwd
import socket
import tempfile
from dataclasses import dataclass, field

from . import system
from .process import Failed, is_listening, last_words_of, spawn, tree, wait_for

START_TIMEOUT_S = 15
LOOPBACK = "127.0.0.1"


@dataclass
class Instance:
    """A running subject."""

    name: str
    addresses: dict  # protocol -> (host, port)
    processes: list = field(default_factory=list)  # none: there is nothing between client and engine
    problems: dict = field(default_factory=dict)  # protocol -> why it is not offered
    log: str = ""
    lanes: object = None  # a function: bytes moved so far, by lane; where a subject can tell
    known_pids: list = None

    def pids(self):
        """All its processes. They are looked for once: a worker that ends later and is replaced makes its rows fail."""
        if self.known_pids is None:
            self.known_pids = [pid for process in self.processes for pid in tree(process.pid)]
        return self.known_pids

    def address(self, protocol):
        if protocol in self.problems:
            raise Failed(self.problems[protocol])
        for process in self.processes:
            if process.poll() is not None:
                raise Failed(f"{self.name} has ended, exit {process.returncode}: {last_words_of(self.log)}")
        return self.addresses[protocol]


class Subject:
    """How one is started. `engines` are those that it must lead to."""

    name = ""
    programs = ()
    protocols = ("postgres", "mysql", "redis", "none")

    def launch(self, stack, workdir, engines, settings):
        # Each start has its own: `idle` starts another instance while the first one still runs.
        workdir = tempfile.mkdtemp(prefix=f"{self.name.replace(':', '-')}-", dir=workdir)
        instance = Instance(self.name, {p: (LOOPBACK, free_port()) for p in engines if p in self.protocols})
        self.start(stack, workdir, engines, settings, instance)
        for protocol in list(instance.addresses):
            try:
                wait_for(lambda: engines[protocol].check(instance.addresses[protocol]), START_TIMEOUT_S, self.name)
            except Failed as error:
                instance.problems.setdefault(protocol, str(error))
        return instance

    def start(self, stack, workdir, engines, settings, instance):
        raise NotImplementedError

    def describe(self, settings):
        return ""


class Direct(Subject):
    name = "direct"

    def start(self, stack, workdir, engines, settings, instance):
        instance.addresses = {protocol: engine.address for protocol, engine in engines.items()}

    def describe(self, settings):
        return "the container's own address"


class HAProxy(Subject):
    name, programs = "haproxy", ("haproxy",)

    def start(self, stack, workdir, engines, settings, instance):
        config = os.path.join(workdir, "haproxy.cfg")
        cpus = [f"    cpu-map 1/{n + 1} {cpu}" for n, cpu in enumerate(settings.proxy_cpus) if settings.pin]
        sections = [
            f"listen {protocol}\n    bind {host}:{port} backlog 4096\n    server engine {engines[protocol].address[0]}:"
            f"{engines[protocol].address[1]}"
            for protocol, (host, port) in instance.addresses.items()]
        write(config, "\n".join([
            "global", f"    nbthread {settings.threads}", *cpus, f"    maxconn {settings.connections_max}", "    maxpipes 512",
            "defaults", "    mode tcp", "    option splice-auto", f"    maxconn {settings.connections_max}",
            "    timeout connect 5s", "    timeout client 1h", "    timeout server 1h", *sections, ""]))
        launch_and_wait(stack, workdir, instance, [system.find("haproxy"), "-db", "-f", config], settings)

    def describe(self, settings):
        return f"mode tcp, nbthread {settings.threads}, {'cpu-map one CPU each' if settings.pin else 'no cpu-map'}, " \
               "option splice-auto, no log, bufsize 16 KiB (default), one listener shared by the threads (multi-queue, default)"


class Nginx(Subject):
    name, programs = "nginx", ("nginx",)

    def start(self, stack, workdir, engines, settings, instance):
        config = os.path.join(workdir, "nginx.conf")
        affinity = "auto " + cpu_mask(settings.proxy_cpus) if settings.pin else None
        servers = [
            f"    server {{ listen {host}:{port} reuseport backlog=4096; proxy_pass {engines[protocol].address[0]}:"
            f"{engines[protocol].address[1]}; }}"
            for protocol, (host, port) in instance.addresses.items()]
        write(config, "\n".join([
            f"load_module {system.NGINX_STREAM};", "daemon off;", f"worker_processes {settings.threads};",
            *([f"worker_cpu_affinity {affinity};"] if affinity else []), f"pid {workdir}/nginx.pid;",
            f"error_log {workdir}/nginx.log error;", f"user {pwd.getpwuid(os.geteuid()).pw_name};",
            f"events {{ worker_connections {settings.connections_max * 2}; }}",
            "stream {", "    access_log off;", "    proxy_timeout 1h;", "    tcp_nodelay on;", *servers, "}", ""]))
        launch_and_wait(stack, workdir, instance, [system.find("nginx"), "-c", config, "-p", workdir], settings)

    def describe(self, settings):
        return f"stream, worker_processes {settings.threads}, {'worker_cpu_affinity auto' if settings.pin else 'no affinity'}, " \
               "listen reuseport, access_log off, proxy_buffer_size 16k (default)"


class PgBouncer(Subject):
    name, programs, protocols = "pgbouncer", ("pgbouncer",), ("postgres",)

    def start(self, stack, workdir, engines, settings, instance):
        host, port = instance.addresses["postgres"]
        engine = engines["postgres"]
        users, config = os.path.join(workdir, "users.txt"), os.path.join(workdir, "pgbouncer.ini")
        write(users, f'"{engine.name}" ""\n')
        write(config, "\n".join([
            "[databases]", f"* = host={engine.address[0]} port={engine.address[1]}", "[pgbouncer]", f"listen_addr = {host}",
            f"listen_port = {port}", "unix_socket_dir =", "pool_mode = session", "auth_type = trust", f"auth_file = {users}",
            "so_reuseport = 1", "max_client_conn = 2000", "default_pool_size = 150", "server_idle_timeout = 1",
            "ignore_startup_parameters = extra_float_digits", "log_connections = 0", "log_disconnections = 0",
            "log_stats = 0", ""]))
        for directory in (workdir, os.path.dirname(workdir)):
            os.chmod(directory, 0o755)
        # A process of it has one thread, so there are as many of them. It refuses to be root.
        for n in range(settings.threads):
            cpus = {settings.proxy_cpus[n]} if settings.pin else None
            launch_and_wait(stack, workdir, instance, [system.find("pgbouncer"), config], settings, cpus=cpus, user="nobody")

    def describe(self, settings):
        return f"session mode, {settings.threads} processes with so_reuseport" \
               f"{', one CPU each' if settings.pin else ''}; a pooler: it keeps server connections for the next client"


class DockerProxy(Subject):
    name, programs = "docker-proxy", ("docker-proxy",)

    def start(self, stack, workdir, engines, settings, instance):
        program = system.find("docker-proxy")
        if not program:
            raise Failed("there is no docker-proxy on this machine")
        for protocol, (host, port) in instance.addresses.items():
            engine_host, engine_port = engines[protocol].address
            # It reports its start on descriptor 3, whatever that is; without one it would close its own listener.
            argv = ["sh", "-c", 'exec "$0" "$@" 3>/dev/null', program, "-proto", "tcp", "-host-ip", host, "-host-port", str(port),
                    "-container-ip", engine_host, "-container-port", str(engine_port)]
            # dockerd starts one for each published port, and so does this.
            launch_and_wait(stack, workdir, instance, argv, settings, [port], env={"GOMAXPROCS": str(settings.threads)})

    def describe(self, settings):
        return f"docker's userland proxy, one process for each port, GOMAXPROCS={settings.threads}"


# ---- what they share ----


def launch_and_wait(stack, workdir, instance, argv, settings, ports=None, cpus=None, **how):
    """Starts one process of a subject and waits until its ports (default: all of the subject's) are open."""
    ports = ports or [port for _, port in instance.addresses.values()]
    log = os.path.join(workdir, "output.log")
    process = spawn(stack, argv, log, cpus=cpus or set(settings.proxy_cpus), **how)
    instance.processes.append(process)
    instance.log = log

    def ready():
        if process.poll() is not None:
            raise Failed(f"ended at start: {last_words_of(log)}")
        return all(is_listening(port) for port in ports)

    wait_for(ready, START_TIMEOUT_S, instance.name)


def cpu_mask(cpus):
    """CPUs as nginx writes them: a binary number."""
    return bin(sum(1 << cpu for cpu in cpus))[2:]


def free_port():
    with socket.socket() as stream:
        stream.bind((LOOPBACK, 0))
        return stream.getsockname()[1]


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
