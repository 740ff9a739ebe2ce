# The exporter without root or a shell: the program, the libraries that it needs, and the certificates of public CAs.
#
#   docker build -t openim-exporter --build-arg BUILD_REVISION=$(git rev-parse --short=12 HEAD) .
#   docker build --target debug -o . .     # the debug information of the same build
#   docker run -p 10006:10006 -v openim-exporter:/data openim-exporter
#
# Without Docker, deploy/image.sh builds the last stage from a program.
FROM rust:1.91-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY benches benches
COPY deploy/*.sh deploy/*.rs deploy/
# The label `revision` of openim_exporter_build_info. The repository is not copied.
ARG BUILD_REVISION=unknown
RUN cargo build --release --locked --bin openim-exporter \
    && deploy/strip.sh target/release/openim-exporter dist \
    && deploy/image-root.sh dist/openim-exporter root

FROM scratch AS debug
COPY --from=build /build/dist/openim-exporter.debug /

FROM scratch
COPY --from=build /build/root /
ARG BUILD_REVISION=unknown
LABEL org.opencontainers.image.title="openim-exporter" \
      org.opencontainers.image.description="Counts OpenIM's group messages from its callbacks and exposes them to Prometheus" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="$BUILD_REVISION" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/openimsdk/openim-exporter"
ENV OPENIM_EXPORTER_STORAGE_PATH=/data
# As a number, so that Kubernetes can verify that it is not root. With any other user ID, the group must be 0.
USER 65532:65532
EXPOSE 10006
VOLUME /data
# It finds the exporter's address in the environment variables. If you set the address by a flag, replace this check.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["/usr/local/bin/openim-exporter", "healthcheck"]
# A shutdown takes 4 s at most.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/openim-exporter"]
