# leakwatch as a container image:  docker build -t leakwatch:0.1.0 .
#
# The base image is pinned by its full version. For production, also pin it by digest
# (FROM python:3.13.15-slim-trixie@sha256:...), because a tag can be moved.
FROM python:3.13.15-slim-trixie AS builder
WORKDIR /src

# These layers change rarely and come first, so they stay cached when leakwatch changes.
COPY deploy/image/build.txt deploy/image/requirements.txt deploy/image/sbom.txt deploy/image/
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r deploy/image/build.txt \
    && python3 -m venv /sbom \
    && /sbom/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r deploy/image/sbom.txt \
    && python3 -m venv /opt/leakwatch \
    && /opt/leakwatch/bin/pip install --no-cache-dir --report /sbom/installed.json --require-hashes --only-binary :all: -r deploy/image/requirements.txt

COPY . .
RUN /build/bin/pip wheel --no-cache-dir --no-index --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/leakwatch/bin/pip install --no-cache-dir --no-index --no-deps /dist/*.whl \
    && /opt/leakwatch/bin/pip uninstall --yes --quiet pip \
    && python3 deploy/image/rootfs.py /opt/leakwatch /rootfs \
    && /sbom/bin/python deploy/image/sbom.py /opt/leakwatch /sbom/installed.json /rootfs /dist \
    && mkdir /empty


# The files of a release: the wheel, the SBOMs of the wheel and of the image, and the OpenVEX document.
FROM scratch AS dist
COPY --from=builder /dist /
COPY deploy/image/leakwatch.openvex.json /


# Python, leakwatch and the libraries that they load. No shell, no package manager, no setuid files.
FROM scratch
COPY --from=builder /rootfs /
COPY --from=builder --chown=65532:65532 /empty /data

ARG VERSION=0.1.0
ARG SOURCE=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="leakwatch" \
      org.opencontainers.image.description="Detects goroutine leaks in Go services and shows where they are." \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

ENV PATH=/opt/leakwatch/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    LEAKWATCH_LISTEN=0.0.0.0:9979 \
    LEAKWATCH_STORAGE_PATH=/data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 9979
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python3", "-I", "-m", "leakwatch.health"]
ENTRYPOINT ["python3", "-I", "-m", "leakwatch"]
CMD ["run", "--config", "/etc/leakwatch/leakwatch.yml"]
