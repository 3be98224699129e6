"""Drives a server with Triton's Python client as it comes from PyPI: each function is one thing that users do with it.

Arguments: the address, a client's token, an operator's token, and sync or aio. Prints the name of each function that
passed.
"""

import asyncio
import queue
import sys
import uuid

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as aioclient
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

address, token, operator_token, mode = sys.argv[1:5]
headers = {"authorization": f"Bearer {token}"}
operator = {"authorization": f"Bearer {operator_token}"}


def tensor(values, datatype="FP32", name="input"):
    array = np.array(values)
    made = grpcclient.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def floats(*values):
    return tensor(np.array(values, dtype=np.float32))


def status_of(act):
    try:
        act()
    except InferenceServerException as error:
        return error.status()
    return "OK"


def tells_of_itself(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("floats", headers=headers)
    metadata = client.get_server_metadata(headers=headers)
    assert metadata.name == "signet" and "statistics" in metadata.extensions
    model = client.get_model_metadata("floats", headers=headers)
    assert model.inputs[0].datatype == "FP32" and list(model.inputs[0].shape) == [-1]
    config = client.get_model_config("floats", headers=headers).config
    assert config.max_batch_size == 0 and config.input[0].name == "input"
    as_json = client.get_model_config("floats", headers=headers, as_json=True)
    assert as_json["config"]["name"] == "floats"


def infers(client):
    result = client.infer("floats", [floats(1, 2, 3)], request_id="7", priority=1, timeout=10_000_000, headers=headers)
    assert result.get_response().id == "7"
    np.testing.assert_array_equal(result.as_numpy("output"), np.array([1, 2, 3], dtype=np.float32))


def infers_text(client):
    result = client.infer("words", [tensor(np.array([b"na\xc3\xafve", b""], dtype=object), "BYTES")], headers=headers)
    assert list(result.as_numpy("output")) == [b"na\xc3\xafve", b""]


def infers_asynchronously(client):
    answers = queue.Queue()
    for n in range(20):
        client.async_infer("floats", [floats(n)], lambda result, error: answers.put((result, error)), headers=headers)
    values = []
    for _ in range(20):
        result, error = answers.get(timeout=30)
        assert error is None, error
        values.append(result.as_numpy("output")[0])
    assert sorted(values) == list(range(20))


def compresses(client):
    zeros = np.zeros(100_000, dtype=np.float32)
    result = client.infer("floats", [tensor(zeros)], compression_algorithm="gzip", headers=headers)
    assert result.as_numpy("output").shape == (100_000,)


def classifies(client):
    output = grpcclient.InferRequestedOutput("output", class_count=2)
    result = client.infer("floats", [floats(0.5, 4, 1)], outputs=[output], headers=headers)
    assert list(result.as_numpy("output")) == [b"4.000000:1:dog", b"1.000000:2"]


def streams(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    for n in range(100):
        client.async_stream_infer("floats", [floats(n)], request_id=str(n), enable_empty_final_response=True)
    client.async_stream_infer("nobody", [floats(0)])
    client.async_stream_infer("floats", [floats(100)], request_id="100")
    client.stop_stream()
    got = [answers.get_nowait() for _ in range(102)]
    assert [result.get_response().id for result, error in got if error is None] == [str(n) for n in range(101)]
    assert all(result.get_response().parameters["triton_final_response"].bool_param for result, error in got if not error)
    assert [n for n, (_, error) in enumerate(got) if error is not None] == [100]
    assert "unknown model: 'nobody'" in str(got[100][1])


def streams_until_the_first_error(client):
    answers = queue.Queue()
    strict = {**headers, "triton_grpc_error": "true"}
    client.start_stream(lambda result, error: answers.put((result, error)), headers=strict)
    client.async_stream_infer("nobody", [floats(0)])
    _, error = answers.get(timeout=30)
    assert error.status() == "StatusCode.NOT_FOUND", error
    client.stop_stream()


def cancels_a_stream(client):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    client.async_stream_infer("floats", [floats(0)])
    answers.get(timeout=30)
    client.stop_stream(cancel_requests=True)


def shares_memory(client):
    key = f"/signet-test-{uuid.uuid4()}"
    values = np.array([1, 2, 3, 4], dtype=np.float32)
    region = shm.create_shared_memory_region("both", key, 64)
    try:
        shm.set_shared_memory_region(region, [values])
        client.unregister_system_shared_memory(headers=headers)
        client.register_system_shared_memory("both", key, 64, headers=headers)
        assert list(client.get_system_shared_memory_status(headers=headers).regions) == ["both"]
        given = grpcclient.InferInput("input", [4], "FP32")
        given.set_shared_memory("both", 16)
        wanted = grpcclient.InferRequestedOutput("output")
        wanted.set_shared_memory("both", 16, offset=32)
        result = client.infer("floats", [given], outputs=[wanted], headers=headers)
        assert result.get_output("output").parameters["shared_memory_byte_size"].int64_param == 16
        np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.float32, [4], offset=32), values)
        client.unregister_system_shared_memory("both", headers=headers)
        assert status_of(lambda: client.infer("floats", [given], headers=headers)) == "StatusCode.NOT_FOUND"
    finally:
        shm.destroy_shared_memory_region(region)
    assert len(client.get_cuda_shared_memory_status(headers=headers).regions) == 0
    client.unregister_cuda_shared_memory(headers=headers)


def counts(client):
    before = client.get_inference_statistics("floats", headers=headers).model_stats[0]
    client.infer("floats", [floats(1)], headers=headers)
    after = client.get_inference_statistics("floats", headers=headers).model_stats[0]
    assert after.inference_count == before.inference_count + 1
    assert after.inference_stats.queue.count == before.inference_stats.queue.count + 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    assert len(client.get_inference_statistics(headers=headers).model_stats) == 2


def unloads_and_loads(client):
    states = lambda: {model.name: model.state for model in client.get_model_repository_index(headers=operator).models}
    assert states() == {"floats": "READY", "words": "READY"}
    client.unload_model("words", headers=operator)
    assert states()["words"] == "UNAVAILABLE"
    assert not client.is_model_ready("words", headers=headers)
    client.load_model("words", headers=operator)
    assert client.is_model_ready("words", headers=headers)
    refused = status_of(lambda: client.load_model("words", config="{}", headers=operator))
    assert refused == "StatusCode.FAILED_PRECONDITION", refused
    assert status_of(lambda: client.unload_model("words", headers=headers)) == "StatusCode.PERMISSION_DENIED"


def changes_settings(client):
    assert client.update_log_settings({"log_verbose_level": 1}, headers=operator).settings["log_verbose_level"].uint32_param == 1
    assert client.get_log_settings(headers=operator).settings["log_info"].bool_param
    client.update_log_settings({"log_verbose_level": 0}, headers=operator)
    changed = client.update_trace_settings("floats", {"trace_rate": "5", "trace_level": ["OFF"]}, headers=operator)
    assert list(changed.settings["trace_rate"].value) == ["5"]
    cleared = client.update_trace_settings("floats", {"trace_rate": None}, headers=operator)
    assert list(cleared.settings["trace_rate"].value) == ["1000"]


def fails_clearly(client):
    assert status_of(lambda: client.infer("floats", [floats(1)])) == "StatusCode.UNAUTHENTICATED"
    assert status_of(lambda: client.infer("nobody", [floats(1)], headers=headers)) == "StatusCode.NOT_FOUND"
    wrong = tensor(np.array([1], dtype=np.int32), "INT32")
    assert status_of(lambda: client.infer("floats", [wrong], headers=headers)) == "StatusCode.INVALID_ARGUMENT"
    # gRPC rounds it up to a millisecond, in which a small call may well be answered; this much takes longer to send.
    large = tensor(np.zeros(4_000_000, dtype=np.float32))
    slow = status_of(lambda: client.infer("floats", [large], client_timeout=0.000001, headers=headers))
    assert slow == "StatusCode.DEADLINE_EXCEEDED", slow


async def infers_beside_each_other(client):
    results = await asyncio.gather(*(client.infer("floats", [floats(n)], headers=headers) for n in range(20)))
    assert [result.as_numpy("output")[0] for result in results] == list(range(20))
    assert (await client.get_model_metadata("floats", headers=headers)).name == "floats"
    stats = await client.get_inference_statistics("floats", headers=headers)
    assert stats.model_stats[0].inference_count >= 20


async def streams_asynchronously(client):
    async def requests():
        for n in range(50):
            yield {"model_name": "floats", "inputs": [floats(n)], "request_id": str(n)}

    ids = []
    async for result, error in client.stream_infer(requests(), headers=headers):
        assert error is None, error
        ids.append(result.get_response().id)
    assert ids == [str(n) for n in range(50)]


async def fails_asynchronously(client):
    try:
        await client.infer("nobody", [floats(1)], headers=headers)
    except InferenceServerException as error:
        assert error.status() == "StatusCode.NOT_FOUND"
    else:
        raise AssertionError("expected a failure")


async def run_aio():
    async with aioclient.InferenceServerClient(address) as client:
        for act in (infers_beside_each_other, streams_asynchronously, fails_asynchronously):
            await act(client)
            print(act.__name__)


def run_sync():
    with grpcclient.InferenceServerClient(address) as client:
        for act in (
            *(tells_of_itself, infers, infers_text, infers_asynchronously, compresses, classifies),
            *(streams, streams_until_the_first_error, cancels_a_stream, shares_memory, counts),
            *(unloads_and_loads, changes_settings, fails_clearly),
        ):
            act(client)
            print(act.__name__)


asyncio.run(run_aio()) if mode == "aio" else run_sync()
