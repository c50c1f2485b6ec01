# The course in a container: JupyterLab on port 8888 with everything installed, the tests too.
#   docker build -t stn-course .            (--build-arg PIP_ARGS="..." as in book/install.md)
#   docker run -p 8888:8888 -p 6006:6006 stn-course      then open the address that it prints;
#   TensorBoard, started in it with --bind_all, is on port 6006
#   docker run stn-course make test
FROM python:3.11-slim
# A compiler for the fast warp, a browser for the tests that need one.
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium gcc git libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /course
COPY . .
ARG PIP_ARGS=""
RUN make setup-tests PIP_ARGS="$PIP_ARGS"
EXPOSE 8888 6006
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--allow-root", "--no-browser", "notebooks/01_invariance.ipynb"]
