# The exporter without root, less than 10 MB larger than its base image.
#
#   docker build -t openim-exporter --build-arg BUILD_REVISION=$(git rev-parse --short=12 HEAD) .
#   docker build --target debug -o . .     # the debug information of the same build
#   docker run -p 10006:10006 -v openim-exporter:/data openim-exporter
FROM rust:1.91-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
COPY benches benches
COPY deploy/strip.sh deploy/
# The label `revision` of openim_exporter_build_info. The repository is not copied.
ARG BUILD_REVISION=unknown
RUN cargo build --release --locked --bin openim-exporter \
    && deploy/strip.sh target/release/openim-exporter dist \
    && install -d -m 0700 /build/data

FROM scratch AS debug
COPY --from=build /build/dist/openim-exporter.debug /

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /build/dist/openim-exporter /usr/local/bin/openim-exporter
# So that a new volume mounted here belongs to this user.
COPY --from=build --chown=nonroot:nonroot /build/data /data
ENV OPENIM_EXPORTER_STORAGE_PATH=/data
# As a number, so that Kubernetes can verify that it is not root.
USER 65532:65532
EXPOSE 10006
VOLUME /data
# A shutdown takes 4 s at most.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/openim-exporter"]
