"""The machine: packages, limits, kernel settings, and what goes into the header of the results."""

import contextlib
import datetime
import glob
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import time

from .process import Failed, run

# docker-proxy comes with the engine, which has a script of its own.
PACKAGES = {
    "redis-benchmark": "redis-tools", "redis-cli": "redis-tools", "redis-server": "redis-server", "pgbench": "postgresql", "psql": "postgresql-client",
    "mariadb": "mariadb-client", "mariadb-slap": "mariadb-client",
    "iperf3": "iperf3", "haproxy": "haproxy", "nginx": "nginx", "pgbouncer": "pgbouncer",
}
NGINX_STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"
POLICY = "/usr/sbin/policy-rc.d"
APT_TIMEOUT_S = 900


def say(text):
    """Progress goes to stderr, so that stdout holds results only."""
    print(text, file=sys.stderr, flush=True)


def root_of_repository():
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


# ---- packages ----


def install_missing(programs):
    """Installs from the distribution what is missing. Its services are neither started now nor at the next boot."""
    missing = sorted({PACKAGES[name] for name in programs if name in PACKAGES and not find(name)})
    if "nginx" in programs and not os.path.exists(NGINX_STREAM):
        missing.append("libnginx-mod-stream")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise Failed(f"needs {' '.join(missing)}, and there is no apt-get here to install it")
    say(f"installing {' '.join(missing)}")
    with services_stay_off():
        try:
            apt_get("install", "--no-install-recommends", *missing)
        except Failed:
            apt_get("update")
            apt_get("install", "--no-install-recommends", *missing)
    if os.path.isdir("/run/systemd/system"):
        for service in missing:
            subprocess.run(["systemctl", "disable", "--quiet", "--now", service], stderr=subprocess.DEVNULL, check=False)


def apt_get(*arguments):
    run(["apt-get", "-y", "-qq", "-o", "DPkg::Lock::Timeout=300", *arguments], APT_TIMEOUT_S,
        env={"DEBIAN_FRONTEND": "noninteractive"})


@contextlib.contextmanager
def services_stay_off():
    """Debian's own way to install a server without starting it: this script is asked, and says no."""
    if os.path.exists(POLICY):
        yield
        return
    with open(POLICY, "x", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(POLICY, 0o755)
    try:
        yield
    finally:
        os.unlink(POLICY)


def find(name):
    """The path of a program; servers are in directories that are not on everybody's PATH."""
    if name in ("pgbench", "psql"):
        # Behind Debian's wrapper, which would take a start of Perl for each run.
        versions = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=version_of)
        if versions:
            return versions[-1]
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/libexec/docker")


def version_of(path):
    return int(re.search(r"/postgresql/(\d+)/", path).group(1))


def program_version(name, *arguments):
    path = find(name)
    if not path:
        return "missing"
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False, errors="replace")
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text else "unknown"


# ---- limits and kernel settings ----


def raise_open_files():
    """As many descriptors as this process may have; what it starts inherits them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (1 << 17, 1 << 16, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return limit
        except (ValueError, OSError):
            continue
    return hard


def set_for_this_run(stack, key, value):
    """Sets a kernel setting until `stack` is closed. Returns what is in force, since it may be forbidden."""
    path = "/proc/sys/" + key.replace(".", "/")
    before = read(path)
    if before == value:
        return value
    try:
        write(path, value)
    except OSError:
        return before
    stack.callback(write, path, before)
    return value


def read(path, default="unknown"):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return default


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


# ---- the machine's CPU ----


def machine_cpu_s():
    """CPU time that the whole machine has used since boot: what was neither idle nor stolen. Waiting for IO is idle:
    io_uring's sleeping threads are shown as that."""
    fields = [int(field) for field in read("/proc/stat").split("\n", 1)[0].split()[1:]]
    idle_s = (fields[3] + fields[4] + fields[7]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() * os.cpu_count() - idle_s


def busy_share(seconds):
    """How busy the machine is with whatever else runs on it, from 0 to 1."""
    before, started = machine_cpu_s(), time.monotonic()
    time.sleep(seconds)
    return max(0.0, (machine_cpu_s() - before) / (time.monotonic() - started) / os.cpu_count())


# ---- the header ----


def description():
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s*(\d+)", read("/proc/meminfo"))
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {
            "cpu": model.group(1) if model else platform.processor(),
            "cpus": os.cpu_count(),
            "memory_gib": round(int(memory.group(1)) / (1 << 20), 1) if memory else None,
            "kernel": platform.release(),
            "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
            "congestion_control": read("/proc/sys/net/ipv4/tcp_congestion_control"),
        },
        "versions": {
            "haproxy": program_version("haproxy", "-v"), "nginx": program_version("nginx", "-v"),
            "pgbouncer": program_version("pgbouncer", "--version"), "redis": program_version("redis-server", "--version"),
            "pgbench": program_version("pgbench", "--version"), "iperf3": program_version("iperf3", "--version"),
            "docker": program_version("docker", "--version"), "docker-proxy": program_version("docker-proxy", "--version"),
        },
    }


def commit():
    def git(*arguments):
        return subprocess.run(["git", "-C", root_of_repository(), *arguments], capture_output=True, text=True, check=False)
    try:
        head = git("rev-parse", "--short=12", "HEAD").stdout.strip()
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!perf/results").stdout.strip()
    except OSError:
        return "unknown"
    return (head or "unknown") + ("+changes" if changed else "")


def script(name, *arguments, timeout_s=APT_TIMEOUT_S):
    """Runs one of the repository's scripts; its progress is shown."""
    path = os.path.join(root_of_repository(), "scripts", name)
    done = subprocess.run([path, *arguments], stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=timeout_s, check=False)
    if done.returncode != 0:
        raise Failed(f"scripts/{name} {' '.join(arguments)}: exit {done.returncode}")


def build_release():
    """The release binary of this checkout."""
    root = root_of_repository()
    cargo = shutil.which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    say("building: cargo build --release")
    done = subprocess.run([cargo, "build", "--release", "--bin", "pierhead"], cwd=root, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise Failed(f"cargo build --release: exit {done.returncode}; or name a binary: --binary PATH")
    return os.path.join(root, os.environ.get("CARGO_TARGET_DIR", "target"), "release", "pierhead")
