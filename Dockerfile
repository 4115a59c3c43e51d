# The programs as images, a stage for each: docker build --target edge | gateway | cloud | sim .
# The base is an index of amd64 and arm64, and constraints.txt has wheels for both; nothing is compiled here.
ARG PYTHON=python:3.11.15-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba

# hadolint ignore=DL3006 # tag and digest are in the argument
FROM ${PYTHON} AS wheel
WORKDIR /src
COPY constraints.txt ./
# hadolint ignore=DL3013 # constraints.txt has the version
RUN python -m pip install --no-cache-dir --disable-pip-version-check -c constraints.txt hatchling
COPY pyproject.toml README.md LICENSE ./
COPY wire ./wire
COPY edge ./edge
COPY gateway ./gateway
COPY cloud ./cloud
COPY firmware-sim ./firmware-sim
RUN python -m pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
        --wheel-dir /wheels . \
    && python -m venv /opt/pledgewatch

FROM wheel AS edge-installed
RUN /opt/pledgewatch/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        -c constraints.txt "$(echo /wheels/pledgewatch-*.whl)[edge]"

FROM wheel AS gateway-installed
RUN /opt/pledgewatch/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        -c constraints.txt "$(echo /wheels/pledgewatch-*.whl)[gateway]"

FROM wheel AS cloud-installed
RUN /opt/pledgewatch/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        -c constraints.txt "$(echo /wheels/pledgewatch-*.whl)[cloud]"

# searoute is published as source alone; it is plain Python, and what builds it is pinned too.
FROM wheel AS sim-installed
# hadolint ignore=DL3013 # constraints.txt has the versions
RUN /opt/pledgewatch/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt setuptools wheel \
    && /opt/pledgewatch/bin/pip install --no-cache-dir --disable-pip-version-check --only-binary :all: \
        --no-binary searoute --no-build-isolation \
        -c constraints.txt "$(echo /wheels/pledgewatch-*.whl)[sim,gateway]"

# A new volume takes the owner of the folder that it is mounted on.
# hadolint ignore=DL3006 # tag and digest are in the argument
FROM ${PYTHON} AS base
RUN groupadd --gid 10001 pledgewatch \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/pledgewatch \
        --shell /usr/sbin/nologin pledgewatch \
    && install -d -o pledgewatch -g pledgewatch -m 0700 /var/lib/pledgewatch \
    && install -d -m 0755 /etc/pledgewatch
ENV PATH=/opt/pledgewatch/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/pledgewatch
USER 10001:10001

FROM base AS edge
COPY --from=edge-installed /opt/pledgewatch /opt/pledgewatch
ENTRYPOINT ["pledgewatch-edge"]
CMD ["run", "--config", "/etc/pledgewatch/edge.toml"]

FROM base AS gateway
COPY --from=gateway-installed /opt/pledgewatch /opt/pledgewatch
ENTRYPOINT ["pledgewatch-gateway"]
CMD ["run", "--config", "/etc/pledgewatch/gateway.toml"]

# The simulated site starts the real gateway, so that is in it too.
FROM base AS sim
COPY --from=sim-installed /opt/pledgewatch /opt/pledgewatch
ENTRYPOINT ["pledgewatch-sim"]
CMD ["bank", "--config", "/etc/pledgewatch/bank.toml"]

FROM base AS cloud
COPY --from=cloud-installed /opt/pledgewatch /opt/pledgewatch
EXPOSE 8420
ENTRYPOINT ["pledgewatch-cloud"]
CMD ["run", "--config", "/etc/pledgewatch/cloud.toml"]
