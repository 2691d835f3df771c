"""What mosquitto_pub and mosquitto_sub see in each case, as one JSON object on stdout.

    mosquitto_cases.py DRIVER HOST PORT NAME PASSWORD [CASE=OTHER_NAME...]

DRIVER: mosquitto_pub-3.1.1 (`mqttv311`), mosquitto_pub-5 (`mqttv5`). The cases and what they give are those of
mqtt_cases.py; `stream` and `will` are left to the others. With PIERHEAD_TEST_ZONE and PIERHEAD_TEST_CA set, TLS is demanded: the
host is USER.ZONE, which each program finds at the address HOST in an /etc/hosts of its own.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile

PAYLOAD = bytes((n * 7919 + n // 251) % 256 for n in range(300_000))
CONNECTIONS = 50
ZONE, CA = os.environ.get("PIERHEAD_TEST_ZONE"), os.environ.get("PIERHEAD_TEST_CA")
OWN_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


def program(what, user, secret, *args):
    version = "mqttv5" if driver.endswith("-5") else "mqttv311"
    rest = ["-p", port, "-u", user, "-P", secret, "-V", version, "-q", "1", *args]
    if not ZONE:
        return [what, "-h", host, *rest]
    # Only when it debugs does it tell the alert.
    debug = ["-d"] if what == "mosquitto_pub" else []
    secured = [what, "-h", f"{user}.{ZONE}", "--cafile", CA, *debug, *rest]
    return ["unshare", "--mount", "sh", "-c", OWN_HOSTS, hosts.name, *secured]


def there_and_back(user, secret, payload):
    """Left with the broker by one program, fetched by another."""
    topic = "c/" + os.urandom(6).hex()
    run(program("mosquitto_pub", user, secret, "-t", topic, "-r", "-s"), payload)
    return run(program("mosquitto_sub", user, secret, "-t", topic, "-C", "1", "-N", "-W", "20"))


def run(command, stdin=b""):
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=30)
    if ended.returncode != 0:
        lines = (ended.stdout + ended.stderr).decode().splitlines()
        # What it says when it debugs has a number in it that is another each time.
        raise RuntimeError("\n".join(line for line in lines if not line.startswith("Client ")))
    return ended.stdout


def login(user, secret):
    return there_and_back(user, secret, b"hello").decode()


def bulk(user, secret):
    back = there_and_back(user, secret, PAYLOAD)
    return f"{len(back)} {hashlib.sha256(back).hexdigest()}"


def many(user, secret):
    topic = "c/" + os.urandom(6).hex()
    # One message reaches all of them: it stays for those that come later.
    command = program("mosquitto_sub", user, secret, "-t", topic, "-C", "1", "-N", "-W", "20")
    programs = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(CONNECTIONS)]
    run(program("mosquitto_pub", user, secret, "-t", topic, "-r", "-s"), b"here")
    return sum(each.communicate()[0] == b"here" for each in programs)


def attempt(work, *who):
    try:
        return {"ok": work(*who)}
    except RuntimeError as error:
        return {"text": str(error)}


driver, host, port, name, password, *others = sys.argv[1:]
hosts = tempfile.NamedTemporaryFile("w")
hosts.writelines(f"{host} {who}.{ZONE}\n" for who in [name, *(pair.split("=")[1] for pair in others)])
hosts.flush()
seen = {case: attempt(work, name, password) for case, work in (("login", login), ("bulk", bulk), ("many", many))}
seen["wrong"] = attempt(login, name, "not the password")
for case, other in (pair.split("=") for pair in others):
    seen[case] = attempt(login, other, password)
print(json.dumps(seen))
