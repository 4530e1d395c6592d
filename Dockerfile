# One image for everything of Heliograph. Without arguments it holds all services, the devnet and the
# command; `--build-arg SERVICE=ingest` makes one that holds what a single service needs and starts it.
#
#   docker build -t heliograph:0.1.0 .
#   docker build -t heliograph-ingest:0.1.0 --build-arg SERVICE=ingest .
ARG PYTHON=3.12.12

FROM python:${PYTHON}-slim-bookworm AS build
ARG SERVICE=all
ARG EXTRAS="ingest oracle billing ledger anchor projection gateway teller devnet cli"
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY pyproject.toml requirements.lock deploy/image/lock_subset.py ./
# Two environments, so that what builds the wheel stays behind. The extras are words on purpose.
# hadolint ignore=SC2086
RUN python -m venv --without-pip /opt/heliograph \
 && python -m venv --without-pip /opt/builder \
 && if [ "$SERVICE" = all ]; then extras="$EXTRAS"; else extras="$SERVICE"; fi \
 && python lock_subset.py pyproject.toml requirements.lock $extras > run.txt \
 && python lock_subset.py pyproject.toml requirements.lock hatchling > make.txt \
 && pip --python /opt/heliograph/bin/python install --require-hashes --only-binary :all: -r run.txt \
 && pip --python /opt/builder/bin/python install --require-hashes --only-binary :all: -r make.txt
COPY README.md LICENSE ./
COPY libs libs
COPY devnet devnet
COPY services services
COPY heliograph heliograph
RUN /opt/builder/bin/python -m hatchling build -t wheel -d /build/dist \
 && pip --python /opt/heliograph/bin/python install --no-deps --no-index /build/dist/*.whl \
 && case "$SERVICE" in \
      all) program='heliograph --help' ;; \
      devnet) program='python -m devnet "$@"' ;; \
      cli) program='heliograph "$@"' ;; \
      *) program="python -m services.$SERVICE \"\$@\"" ;; \
    esac \
 && printf '#!/bin/sh\nexec %s\n' "$program" > /opt/heliograph/bin/serve \
 && chmod 0755 /opt/heliograph/bin/serve \
 && mkdir /data
COPY deploy/image/ready /opt/heliograph/bin/ready

FROM python:${PYTHON}-slim-bookworm
ARG SERVICE=all
LABEL org.opencontainers.image.title="heliograph" \
      org.opencontainers.image.description="Energy that people own together" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.heliograph.service="${SERVICE}"
ENV PATH=/opt/heliograph/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/heliograph /opt/heliograph
COPY data/pv /app/data/pv
# Where a service keeps what must survive it; a new volume takes over the owner from here.
COPY --from=build --chown=10001:10001 /data /data
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM
CMD ["serve"]
