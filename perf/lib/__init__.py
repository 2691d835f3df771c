"""The load bench: Pierhead beside its peers, in one interleaved run.

options    what can be typed
cases      what is measured; loads run the well-known tools, idle the one generator of our own
subjects   what is compared: direct, proxies, and pierhead.py for the house's own
engines    PostgreSQL, Redis and iperf3 in containers, the same ones for every subject
runner     rounds A B C A B C, and the time left
measure    CPU and memory of one subject during one round
results    medians and spread; targets, report and pictures are made from them
system, process, docker, probe   the machine underneath
"""
