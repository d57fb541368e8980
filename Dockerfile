# The same image for every process: `journey run receiver`, `… ingest`, `… project`, …
# Python as in requirements.lock, whose hashes are checked.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin journey \
    && install --directory --owner=journey --group=journey /data

WORKDIR /app
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md ./
COPY schemas schemas
COPY journey journey
COPY projections projections
COPY consumers consumers
RUN pip install --no-deps . && rm -rf build ./*.egg-info

ENV JOURNEY_HOME=/data
USER journey
EXPOSE 8080 8081
ENTRYPOINT ["journey"]
CMD ["serve"]
