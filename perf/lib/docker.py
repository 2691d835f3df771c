"""Containers of a run. They carry a label with the run's pid and start time, so that a later run can remove what a
killed one left."""

import json
import os

from . import system
from .process import Failed, run

LABEL = "pierhead.bench"
TIMEOUT_S = 60


class Docker:
    """A client that reaches an engine, and a network of this run's own on it."""

    def __init__(self, stack):
        self.client = reachable_client() or start_engine(stack)
        self.remove_leftovers()
        self.network = f"ph-bench-{os.getpid()}"
        self.call("network", "create", "--label", f"{LABEL}={owner()}", self.network)
        stack.callback(self.try_call, "network", "rm", self.network)

    def call(self, *arguments, timeout_s=TIMEOUT_S):
        return run([self.client, *arguments], timeout_s).strip()

    def try_call(self, *arguments):
        try:
            return self.call(*arguments)
        except Failed as error:
            system.say(f"docker {' '.join(arguments[:2])}: {error}")
            return ""

    def start(self, stack, name, options, image, *command):
        """Starts a container on the run's network and returns its address and its first process' pid."""
        # Created and started in two steps: if starting fails, there is something to remove.
        self.call("create", "--name", name, "--network", self.network, "--label", f"{LABEL}={owner()}", *options, image,
                  *command)
        stack.callback(self.try_call, "rm", "--force", "--volumes", name)
        self.call("start", name)
        state = json.loads(self.call("inspect", name))[0]
        address = state["NetworkSettings"]["Networks"][self.network]["IPAddress"]
        if not address:
            raise Failed(f"container {name} ended: {self.last_log(name)}")
        return address, state["State"]["Pid"]

    def last_log(self, name):
        lines = self.try_call("logs", "--tail", "1", name).splitlines()
        return lines[-1] if lines else "it said nothing"

    def image(self, repository):
        """An image of a repository that scripts/images builds, the newest one; built if there is none."""
        system.script("images", repository.rpartition("/")[2])
        tags = self.call("images", repository, "--format", "{{.Tag}}").split()
        return f"{repository}:{tags[0]}"

    @staticmethod
    def has_recipe(name):
        return os.path.exists(os.path.join(system.root_of_repository(), "scripts", "images.d", name))

    def remove_leftovers(self):
        for kind, remove in (("ps --all", "rm --force --volumes"), ("network ls", "network rm")):
            rows = self.call(*kind.split(), "--filter", f"label={LABEL}", "--format", f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}')
            for row in rows.splitlines():
                identity, _, label = row.partition(" ")
                if not is_running(label):
                    self.try_call(*remove.split(), identity)


def reachable_client():
    """There can be several clients on a PATH, and an old one does not understand a new engine, or the reverse."""
    for directory in os.environ.get("PATH", "").split(":"):
        client = os.path.join(directory, "docker")
        if not os.access(client, os.X_OK):
            continue
        try:
            if run([client, "version", "--format", "{{.Server.Version}}"], 10).strip():
                return client
        except Failed:
            continue
    return None


def start_engine(stack):
    """Starts one, and ends it after the run."""
    system.script("docker-engine", "start")
    stack.callback(system.script, "docker-engine", "stop")
    client = reachable_client()
    if not client:
        raise Failed("no Docker engine answers, though scripts/docker-engine found or started one")
    return client


def owner():
    """This process, so that no other one can be taken for it: its pid and its start time."""
    return identity_of(os.getpid())


def identity_of(pid):
    stat = system.read(f"/proc/{pid}/stat", default="")
    fields = stat.rpartition(")")[2].split()
    return f"{pid}:{fields[19]}" if len(fields) > 19 else ""


def is_running(label):
    pid = label.partition(":")[0]
    return pid.isdigit() and identity_of(pid) == label
