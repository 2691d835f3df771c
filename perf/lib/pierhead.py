"""Pierhead itself: `pierhead serve` with a configuration of its own, that finds the engines by their labels."""

import os
import subprocess

from .process import Failed, first_words
from .subjects import Subject, launch_and_wait, write


class Pierhead(Subject):
    """One build with one set of [core] settings. A run may compare several."""

    def __init__(self, binary, name="pierhead", core=None):
        self.name, self.binary, self.core = name, binary, core or {}

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
        core = {"cpus": list(settings.proxy_cpus), "pin": str(settings.pin).lower(), **self.core}
        lines = [f'data_dir = "{workdir}/data"', "[control]", f'socket = "{workdir}/control.sock"', "[log]", 'level = "warn"',
                 "[core]", *(f"{key} = {value}" for key, value in core.items())]
        for protocol, (host, port) in addresses.items():
            lines += ["[[listener]]", f'dialect = "{protocol}"', f'listen = ["{host}:{port}"]']
            if protocol == "none":
                lines.append(f'to = "{engines[protocol].name}"')
        write(path, "\n".join([*lines, ""]))
        return path

    def describe(self, settings):
        core = ", ".join(f"{key} = {value}" for key, value in self.core.items()) or "defaults"
        return f"serve, {settings.threads} cores, pin = {str(settings.pin).lower()}, [core] {core}, log level warn (no " \
               "line for each connection), routes from Docker labels, buffer_size 16 KiB unless said otherwise; " \
               f"{version_of(self.binary)}"


def version_of(binary):
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)
        return done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "version unknown"


def variant(text, binary):
    """`NAME:KEY=VALUE,...`: another Pierhead in the same run. KEY is one of [core], or `binary`."""
    name, _, rest = text.partition(":")
    core = {}
    for pair in filter(None, rest.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"{pair!r} in --variant is not KEY=VALUE")
        core[key] = value
    binary = core.pop("binary", binary)
    return Pierhead(binary, f"pierhead:{name}", {key: toml(value) for key, value in core.items()})


def toml(value):
    """A value as the configuration has it: numbers, booleans and lists as they are, the rest in quotes."""
    bare = value in ("true", "false") or value.replace("_", "").isdigit() or value.startswith(("[", '"'))
    return value if bare else f'"{value}"'
