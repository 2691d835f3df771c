# Pierhead as an image: docker build -t pierhead/pierhead .
# Where no registry answers, `scripts/images base-rust base-debian` makes its two bases of this machine's packages and
# toolchain, and `scripts/images self` the same layout from a binary that was built outside.
#
# It runs as the user pierhead (990), not as root. What it needs from the outside, all of it in deploy/compose.yaml:
# - the Docker socket, and its group as a supplementary group: whoever holds that is root on the host in all but name
# - io_uring, which Docker's default seccomp profile forbids since 25.0: deploy/seccomp.json
# - the host's network, since it dials containers on every bridge
# No capability. The ports of the protocols are above 1023; for one below, lower net.ipv4.ip_unprivileged_port_start on
# the host: CAP_NET_BIND_SERVICE alone does not reach a process that is not root.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# No cache mounts: the builder that Docker 20.10 takes by default does not know them, nor does docker-compose 1. Without
# line numbers the program has 18 MB instead of 79; backtraces keep the names of functions.
RUN cargo build --release --locked --bin pierhead \
    && strip --strip-debug -o /usr/local/bin/pierhead target/release/pierhead \
    && rm -rf target "$CARGO_HOME/registry"

FROM debian:bookworm-slim
# Keep the numbers: a volume remembers them.
RUN groupadd --system --gid 990 pierhead \
    && useradd --system --uid 990 --gid 990 --home-dir /var/lib/pierhead --shell /usr/sbin/nologin pierhead \
    && install -d -o pierhead -g pierhead -m 700 /var/lib/pierhead \
    && install -d -o pierhead -g pierhead -m 750 /run/pierhead
COPY pierhead.example.toml /etc/pierhead/pierhead.toml
COPY --from=build /usr/local/bin/pierhead /usr/local/bin/pierhead
USER 990:990
WORKDIR /var/lib/pierhead
# The store and the addons' secrets. The control socket is /run/pierhead/control.sock.
VOLUME /var/lib/pierhead
STOPSIGNAL SIGTERM
ENTRYPOINT ["pierhead"]
CMD ["serve"]
