"""What memccp and memccat of libmemcached see in each case, as one JSON object on stdout.

    memccp_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

The cases and what they give are those of memcached_cases.py, without `stream`.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

VALUE = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50


def command(what, user, secret, *args):
    return [what, f"--servers={host}:{port}", f"--username={user}", f"--password={secret}", "--binary", *args]


def run(*words):
    ended = subprocess.run(command(*words), capture_output=True, timeout=30)
    said = (ended.stdout + ended.stderr).decode(errors="replace").strip()
    # memccp ends with 0 whatever happens.
    if ended.returncode != 0 or ended.stderr:
        raise RuntimeError(said)
    return ended.stdout


def there_and_back(user, secret, value):
    key = "c" + hashlib.sha256(value).hexdigest()[:12]  # it is in messages, so the same every time
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, key)  # the file's name becomes the key
        with open(path, "wb") as file:
            file.write(value)
        run("memccp", user, secret, "--expire=60", path)
    return run("memccat", user, secret, key)[: len(value)]  # a line feed is added


def login(user, secret):
    return there_and_back(user, secret, b"hello").decode()


def bulk(user, secret):
    back = there_and_back(user, secret, VALUE)
    return f"{len(back)} {hashlib.sha256(back).hexdigest()}"


def many(user, secret):
    key = "many"
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, key)
        with open(path, "wb") as file:
            file.write(b"here")
        run("memccp", user, secret, "--expire=60", path)
    each = [subprocess.Popen(command("memccat", user, secret, key), stdout=subprocess.PIPE) for _ in range(CONNECTIONS)]
    return sum(program.communicate()[0] == b"here\n" for program in each)


def attempt(work, *who):
    try:
        return {"ok": work(*who)}
    except RuntimeError as error:
        # Some of it changes from run to run: an address in memory.
        words = [word for word in str(error).split() if not word.startswith("(0x")]
        return {"text": " ".join(words)}


_, host, port, name, password, *others = sys.argv[1:]
seen = {case: attempt(work, name, password) for case, work in (("login", login), ("bulk", bulk), ("many", many))}
seen["wrong"] = attempt(login, name, "not the password")
for case, other in (pair.split("=") for pair in others):
    seen[case] = attempt(login, other, password)
print(json.dumps(seen))
