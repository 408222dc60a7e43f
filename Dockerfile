# The service alone in an image without a shell. Any builder will do: nothing here needs BuildKit.
#   docker build -t uw-websocket .        (`make image` adds the version and the revision)

# Both base images are pinned by digest, with the tag beside it; docs/releasing.md says how to renew them. An engine that
# reaches no registry takes images of its own: --build-arg BUILD_IMAGE=… --build-arg RUNTIME_IMAGE=… (`make image` does,
# with a warning).
ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# The dependencies in a layer of their own: it is built again only when a manifest or the lock file changes. Empty
# sources stand where the manifests look for them, the measurement's included.
COPY Cargo.toml Cargo.lock ./
COPY core/Cargo.toml core/
COPY actors/Cargo.toml actors/
COPY simulator/Cargo.toml simulator/
RUN mkdir -p src core/src actors/src simulator/src benches tests/it \
 && touch src/lib.rs core/src/lib.rs actors/src/lib.rs simulator/src/lib.rs tests/it/main.rs \
 && echo 'fn main() {}' | tee src/main.rs >benches/throughput.rs \
 && cargo build --release --locked --bin uw-websocket

# COPY keeps the times of the files, and the empty sources were compiled later than that: without the touch cargo would
# take them for built. The revision is for `--version`; named above, it would cost the layer of the dependencies.
COPY src src
COPY core core
COPY actors actors
COPY simulator simulator
ARG REVISION=
RUN touch src/lib.rs src/main.rs core/src/lib.rs actors/src/lib.rs simulator/src/lib.rs \
 && UW_WEBSOCKET_REVISION="$REVISION" cargo build --release --locked --bin uw-websocket \
 && mkdir -p -m 700 state/spool state/archive

FROM ${RUNTIME_IMAGE}
ARG RUNTIME_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="uw-websocket" \
      org.opencontainers.image.description="Listens to the Unusual Whales WebSocket channels and keeps every event in Redis" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.base.name="$RUNTIME_IMAGE" \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /build/target/release/uw-websocket /usr/local/bin/uw-websocket
# The disk queue and the archive, empty, of the user who runs the service: a new volume mounted there takes its owner from here.
COPY --from=build --chown=65532:65532 /build/state /var/lib/uw-websocket

# by number: Kubernetes cannot tell from a name that it is not root
USER 65532:65532
# the probes on the loopback, where HEALTHCHECK asks; an orchestrator that asks from outside sets another address
ENV ENABLE_WEBSOCKET=true \
    HTTP_ADDR=0.0.0.0:9464 \
    PROBE_ADDR=127.0.0.1:9465 \
    SPOOL_DIR=/var/lib/uw-websocket/spool
VOLUME /var/lib/uw-websocket/spool
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/uw-websocket", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/uw-websocket"]
