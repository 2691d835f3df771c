"""Processes that a run starts, and what /proc tells about them.

Everything here goes by pid, and only by the pid of what was started here; nothing is ever found by its name.
"""

import ctypes
import os
import signal
import subprocess
import time

STOP_TIMEOUT_S = 5
WORDS_MAX = 200
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Something could not be done; the text says what and why, for a row of the table or the end of the run."""


def spawn(stack, argv, log, cpus=None, env=None, user=None):
    """Starts a program that lives until `stack` is closed. It ends as well if this process is killed."""
    libc = ctypes.CDLL(None, use_errno=True)

    def in_child():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if cpus:
            os.sched_setaffinity(0, cpus)

    with open(log, "ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})},
            user=user, group=user and "nogroup", extra_groups=[] if user else None,
            # A Ctrl-C in the terminal is for this program, which then stops what it started in order.
            start_new_session=True, preexec_fn=in_child)
    stack.callback(stop, process)
    return process


def stop(process):
    """TERM, then KILL for whoever does not hear it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(argv, timeout_s, env=None, cpus=None):
    """Runs a program to its end and returns its stdout. What goes wrong is `Failed`, with its last words."""
    def in_child():
        if cpus:
            os.sched_setaffinity(0, cpus)

    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s,
            env={**os.environ, **(env or {})}, preexec_fn=in_child if cpus else None)
    except subprocess.TimeoutExpired:
        raise Failed(f"{program(argv)} did not end within {timeout_s:.0f} s") from None
    except OSError as error:
        raise Failed(f"{program(argv)}: {error.strerror}") from None
    if done.returncode != 0:
        raise Failed(f"{program(argv)}: exit {done.returncode}: {last_words(done.stderr or done.stdout)}")
    return done.stdout


def program(argv):
    return os.path.basename(argv[0])


def last_words(text):
    """The last line that says something: most programs end with the cause."""
    return (lines_of(text) or ["it said nothing"])[-1][:WORDS_MAX]


def first_words(text):
    return (lines_of(text) or ["it said nothing"])[0][:WORDS_MAX]


def lines_of(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def last_words_of(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return last_words(file.read())
    except OSError:
        return "it said nothing"


def wait_for(condition, timeout_s, what):
    """Asks again and again; `condition` returns something true, or raises `Failed` to say why not yet."""
    deadline = time.monotonic() + timeout_s
    reason = "timed out"
    while time.monotonic() < deadline:
        try:
            answer = condition()
            if answer:
                return answer
        except Failed as error:
            reason = str(error)
        time.sleep(0.02)
    raise Failed(f"{what}: {reason}")


# ---- what /proc tells ----


def tree(pid):
    """A process and its descendants: masters keep their workers' pids to themselves."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            parent = parent_of(entry)
            if parent is not None:
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo.extend(children.get(one, []))
    return found


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # The name, in brackets, may hold blanks.
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def cpu_s(pid):
    """utime + stime of a process, ended threads included, as its CPU clock tells: nanoseconds, where /proc/PID/stat
    has ticks of 10 ms. The number of that clock is what clock_getcpuclockid(3) returns."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) / 1e9
    except OSError:
        raise Failed(f"process {pid} has ended") from None


def memory_bytes(pid):
    """Memory in user space: the proportional share of what is resident, so that workers that share are not counted
    twice."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    raise Failed(f"process {pid} has ended, or its memory may not be read")


def is_listening(port):
    """Whether somebody listens on an IPv4 TCP port; a look, without a connection that the backend would notice."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if len(fields) > 3 and fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False
