# 3.12.15; `docker buildx imagetools inspect python:3.12-slim-bookworm` tells of a newer one.
ARG BASE_IMAGE=python:3.12-slim-bookworm@sha256:34386ef0cb081344d7ec1c103ba398e6e9f64e9ab3a1509accc92a4e24a07258
ARG NEURON_IMAGE=public.ecr.aws/neuron/pytorch-inference-neuronx:2.9.0-neuronx-py312-sdk2.31.1-ubuntu24.04

FROM ${BASE_IMAGE} AS builder
# Where torch alone comes from, as PyPI's own carries CUDA; empty: from pip's ordinary indexes.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/converter/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_BUILD_CONSTRAINT=/src/constraints.txt
COPY constraints.txt /src/
# The lock's own pip, torch, then all else that the package needs: these layers outlive every change of its sources.
RUN python3 -m venv /opt/converter \
    && pip install --constraint /src/constraints.txt pip \
    && pip install --no-compile --constraint /src/constraints.txt --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} torch
COPY pyproject.toml /src/
RUN python3 -c 'import tomllib; print(*tomllib.load(open("/src/pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > /src/requirements.txt \
    && pip install --no-compile --constraint /src/constraints.txt --requirement /src/requirements.txt
# What no conversion uses goes: tests, torch's headers and its compiler of protocol buffers. Bytecode by contents, not times, so that two builds
# are alike; torch's own test helpers have syntax that an older Python does not compile.
# hadolint ignore=DL3003
RUN cd /opt/converter/lib/python3*/site-packages \
    && rm -rf torch/test torch/include torch/share torch/bin/protoc* onnx/backend/test \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && python3 -m compileall -q -f -j 0 -x torch/testing/_internal --invalidation-mode unchecked-hash .
COPY README.md /src/
COPY converter /src/converter
RUN pip install --no-compile --no-deps --prefix /opt/package /src \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/package \
    && pip uninstall --yes --quiet pip
# The graphs of the configurations that people use most, at random weights and without the network; they lie where the package looks for shipped ones.
RUN PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$(echo /opt/package/lib/python3*/site-packages)" \
    python3 -m converter cache warm --quiet --cache /opt/package/share/converter

# docker build --target neuron: the same command beside AWS's own SDK, for `converter neuron`; see docs/how-to/neuron.md.
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
ENV PATH=/opt/converter/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=builder /opt/converter /opt/converter
COPY --from=builder /opt/package /opt/converter
COPY entrypoint.sh /usr/local/bin/converter-entrypoint
ENTRYPOINT ["/usr/local/bin/converter-entrypoint"]
# Last, as these differ from one build to the next.
ARG VERSION=unknown
ARG REVISION=unknown
ARG SOURCE=https://github.com/OWNER/converter
LABEL org.opencontainers.image.title="converter" \
      org.opencontainers.image.description="Hugging Face checkpoints in, validated ONNX and TorchScript artifacts out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"
