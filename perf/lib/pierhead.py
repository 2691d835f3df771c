"""Pierhead itself: `pierhead serve` with a configuration of its own, that finds the engines by their labels."""

import os
import re
import socket
import subprocess

from .process import Failed, first_words
from .subjects import Subject, launch_and_wait, write


class Pierhead(Subject):
    """One build with one set of settings: [core] ones by their name, others as TABLE.KEY. A run may compare several."""

    def __init__(self, binary, name="pierhead", given=None):
        self.name, self.binary, self.given = name, binary, given or {}

    def start(self, stack, workdir, engines, settings, instance):
        for protocol in list(instance.addresses):
            reason = self.refuses(workdir, settings, {protocol: instance.addresses[protocol]}, engines)
            if reason:
                instance.problems[protocol] = reason
                del instance.addresses[protocol]
        if not instance.addresses:
            raise Failed("; ".join(sorted(set(instance.problems.values()))))
        config = self.write_config(workdir, settings, instance.addresses, engines)
        launch_and_wait(stack, workdir, instance, [self.binary, "serve", "--config", config], settings)
        instance.lanes = lambda: lanes_of(metrics(f"{workdir}/control.sock"))

    def refuses(self, workdir, settings, addresses, engines):
        """Why this build will not take a configuration with these listeners, or nothing."""
        config = self.write_config(workdir, settings, addresses, engines)
        try:
            done = subprocess.run([self.binary, "check-config", config], capture_output=True, text=True, timeout=10,
                                  check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"{self.binary}: {error}") from None
        if done.returncode == 0:
            return None
        return "this build: " + first_words(done.stderr or done.stdout).replace(config, "its configuration")

    def write_config(self, workdir, settings, addresses, engines):
        path = os.path.join(workdir, "pierhead.toml")
        tables = {"log": {"level": '"warn"'}, "core": {"cpus": list(settings.proxy_cpus), "pin": str(settings.pin).lower()}}
        for key, value in self.given.items():
            table, _, key = key.rpartition(".")
            tables.setdefault(table or "core", {})[key] = value
        lines = [f'data_dir = "{workdir}/data"', "[control]", f'socket = "{workdir}/control.sock"']
        for table, keys in tables.items():
            lines += [f"[{table}]", *(f"{key} = {value}" for key, value in keys.items())]
        for protocol, (host, port) in addresses.items():
            lines += ["[[listener]]", f'dialect = "{protocol}"', f'listen = ["{host}:{port}"]']
            if protocol == "none":
                lines.append(f'to = "{engines[protocol].name}"')
        write(path, "\n".join([*lines, ""]))
        return path

    def describe(self, settings):
        given = ", ".join(f"{key} = {value}" for key, value in self.given.items()) or "defaults"
        return f"serve, {settings.threads} cores, pin = {str(settings.pin).lower()}, [core] {given}, log level warn (no " \
               "line for each connection), routes from Docker labels, buffer_size 16 KiB unless said otherwise; " \
               f"{version_of(self.binary)}"


def metrics(control_socket):
    """The metrics as Prometheus would read them."""
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(5)
            stream.connect(control_socket)
            stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: pierhead\r\nConnection: close\r\n\r\n")
            return stream.makefile("rb").read().decode()
    except OSError as error:
        raise Failed(f"{control_socket}: {error}") from None


def lanes_of(page):
    """Bytes by lane, over all addons and both directions."""
    lanes = {"copy": 0, "splice": 0}
    for lane, count in re.findall(r'^pierhead_bytes_total{.*lane="(\w+)".*} (\d+)$', page, re.MULTILINE):
        lanes[lane] += int(count)
    return lanes


def version_of(binary):
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "version unknown"


def variant(text, binary):
    """`NAME:KEY=VALUE,...`: another Pierhead in the same run. KEY is one of [core], TABLE.KEY, or `binary`."""
    name, _, rest = text.partition(":")
    given = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} in --variant is not KEY=VALUE")
        given[key] = value
    binary = given.pop("binary", binary)
    return Pierhead(binary, f"pierhead:{name}", {key: toml(value) for key, value in given.items()})


def toml(value):
    """A value as the configuration has it: numbers, booleans and lists as they are, the rest in quotes."""
    bare = value in ("true", "false") or value.replace("_", "").isdigit() or value.startswith(("[", '"'))
    return value if bare else f'"{value}"'
