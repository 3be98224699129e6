"""The real Triton: PyTriton serves an identity model, and where one is named an ONNX model, on ports it is given.

python triton.py GRPC_PORT HTTP_PORT METRICS_PORT [MODEL.onnx]. Two instances of each, as Signet has them. Prints its address as JSON on stderr when it is ready.
"""

import json
import signal
import sys
import threading

import numpy as np
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def identity(requests):
    return [{"output": request["input"]} for request in requests]


def classifier(file):
    """An ONNX model of pictures, with one thread for one call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def infer(requests):
        return [{"output": session.run(None, {"x": request["x"]})[0]} for request in requests]

    return infer


grpc_port, http_port, metrics_port = (int(word) for word in sys.argv[1:4])
config = TritonConfig(
    grpc_address="127.0.0.1",
    http_address="127.0.0.1",
    grpc_port=grpc_port,
    http_port=http_port,
    metrics_port=metrics_port,
    log_verbose=0,
)
with Triton(config=config) as triton:
    triton.bind(
        model_name="identity",
        infer_func=[identity, identity],
        inputs=[Tensor(name="input", dtype=np.uint8, shape=(-1,))],
        outputs=[Tensor(name="output", dtype=np.uint8, shape=(-1,))],
        config=ModelConfig(batching=False),
    )
    for file in sys.argv[4:]:
        triton.bind(
            model_name="classifier",
            infer_func=[classifier(file), classifier(file)],
            inputs=[Tensor(name="x", dtype=np.float32, shape=(1, 3, 48, 192))],
            outputs=[Tensor(name="output", dtype=np.float32, shape=(1, 2))],
            config=ModelConfig(batching=False),
        )
    triton.run()
    print(json.dumps({"msg": "serving", "address": f"127.0.0.1:{grpc_port}"}), file=sys.stderr, flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
