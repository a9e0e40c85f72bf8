ARG BASE_IMAGE=python:3.12-slim-bookworm
ARG NEURON_IMAGE=public.ecr.aws/neuron/pytorch-inference-neuronx:2.9.0-neuronx-py312-sdk2.31.1-ubuntu24.04

FROM ${BASE_IMAGE} AS builder
# Where torch alone comes from, as PyPI's own carries CUDA; empty: from pip's ordinary indexes.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /opt/converter
ENV PATH=/opt/converter/bin:$PATH
# Torch before the sources: its layer outlives every change of the package.
COPY constraints.txt /src/
RUN pip install --no-cache-dir --no-deps --constraint /src/constraints.txt ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY pyproject.toml README.md /src/
COPY converter /src/converter
RUN pip install --no-cache-dir --constraint /src/constraints.txt /src

# docker build --target neuron: the same command beside AWS's own SDK, for `converter neuron`; see docs/neuron.md.
FROM ${NEURON_IMAGE} AS neuron
LABEL org.opencontainers.image.title="converter for AWS Neuron" \
      org.opencontainers.image.licenses="Apache-2.0"
# An environment that sees what the image has: its SDK, torch and numpy stay as they are.
RUN python3 -m venv --system-site-packages /opt/converter
ENV PATH=/opt/converter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY requirements-neuron.txt pyproject.toml README.md /src/
COPY converter /src/converter
# --no-deps: the package's own want a torch that no SDK goes with. The SDK's versions are there already, or come from AWS.
ARG NEURON_INDEX_URL=https://pip.repos.neuron.amazonaws.com
RUN pip install --no-cache-dir --no-deps ${NEURON_INDEX_URL:+--extra-index-url "$NEURON_INDEX_URL"} --requirement /src/requirements-neuron.txt \
    && pip install --no-cache-dir --no-deps /src
COPY entrypoint.sh /usr/local/bin/converter-entrypoint
ENTRYPOINT ["/usr/local/bin/converter-entrypoint"]

# No WORKDIR and no USER: GitHub mounts the workspace and its command files at run time, owned so that only root may write them.
FROM ${BASE_IMAGE}
ARG VERSION
ARG SOURCE
LABEL org.opencontainers.image.title="converter" \
      org.opencontainers.image.description="Hugging Face checkpoints in, validated ONNX and TorchScript artifacts out" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/converter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=builder /opt/converter /opt/converter
COPY entrypoint.sh /usr/local/bin/converter-entrypoint
ENTRYPOINT ["/usr/local/bin/converter-entrypoint"]
