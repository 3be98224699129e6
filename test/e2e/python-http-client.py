"""Drives a server's REST listener with Triton's Python client as it comes from PyPI: each function is one thing that
users do with it.

Arguments: the address, a client's token, an operator's token, and sync or aio. Prints the name of each function that
passed.
"""

import asyncio
import sys
import uuid

import numpy as np
import tritonclient.http as httpclient
import tritonclient.http.aio as aioclient
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import InferenceServerException

address, token, operator_token, mode = sys.argv[1:5]
client_headers = {"authorization": f"Bearer {token}"}
operator = {"authorization": f"Bearer {operator_token}"}


def infer(connection, service, inputs, **options):
    """With headers of its own: the client adds to those that it is given."""
    return connection.infer(service, inputs, headers=dict(client_headers), **options)


def tensor(values, datatype="FP32", name="input", binary=True):
    array = np.array(values)
    made = httpclient.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def floats(*values, binary=True):
    return tensor(np.array(values, dtype=np.float32), binary=binary)


def status_of(act):
    try:
        act()
    except InferenceServerException as error:
        return error.status()
    return "OK"


def tells_of_itself(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("floats", headers=client_headers)
    metadata = client.get_server_metadata(headers=client_headers)
    assert metadata["name"] == "signet" and "statistics" in metadata["extensions"]
    model = client.get_model_metadata("floats", headers=client_headers)
    assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1]}], model
    config = client.get_model_config("floats", model["versions"][0], headers=client_headers)
    assert config["max_batch_size"] == 0 and config["input"][0]["name"] == "input"


def infers_in_binary(client):
    result = infer(client, "floats", [floats(1, 2, 3)], request_id="7", priority=1, timeout=10_000_000)
    assert result.get_response()["id"] == "7"
    np.testing.assert_array_equal(result.as_numpy("output"), np.array([1, 2, 3], dtype=np.float32))


def infers_in_json(client):
    wanted = [httpclient.InferRequestedOutput("output", binary_data=False)]
    values = np.array([1, 2.5, np.nan, np.inf, -np.inf], dtype=np.float32)
    result = infer(client, "floats", [floats(1, 2.5)], outputs=wanted)
    assert result.get_output("output")["data"] == [1, 2.5]
    result = infer(client, "floats", [floats(1, 2.5, binary=False)], outputs=wanted)
    np.testing.assert_array_equal(result.as_numpy("output"), np.array([1, 2.5], dtype=np.float32))
    result = infer(client, "floats", [tensor(values)], outputs=wanted)
    np.testing.assert_array_equal(result.as_numpy("output"), values)


def keeps_every_digit(client):
    values = np.array([2**63 - 1, -(2**63), 2**53 + 1], dtype=np.int64)
    wanted = [httpclient.InferRequestedOutput("output", binary_data=False)]
    given = tensor(values, "INT64", binary=False)
    result = infer(client, "longs", [given], outputs=wanted)
    assert result.get_output("output")["data"] == values.tolist()
    np.testing.assert_array_equal(result.as_numpy("output"), values)


def infers_text(client):
    values = np.array([b"na\xc3\xafve", b""], dtype=object)
    for binary in (True, False):
        wanted = [httpclient.InferRequestedOutput("output", binary_data=binary)]
        result = infer(client, "words", [tensor(values, "BYTES", binary=binary)], outputs=wanted)
        found = result.as_numpy("output")
        assert [text if isinstance(text, bytes) else text.encode() for text in found] == list(values), found


def infers_asynchronously(client):
    pending = [client.async_infer("floats", [floats(n)], headers=dict(client_headers)) for n in range(20)]
    assert [request.get_result().as_numpy("output")[0] for request in pending] == list(range(20))


def compresses(client):
    zeros = np.zeros(100_000, dtype=np.float32)
    for algorithm in ("gzip", "deflate"):
        result = infer(
            client,
            "floats",
            [tensor(zeros)],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert result.as_numpy("output").shape == (100_000,)


def classifies(client):
    for binary in (True, False):
        output = httpclient.InferRequestedOutput("output", binary_data=binary, class_count=2)
        result = infer(client, "floats", [floats(0.5, 4, 1)], outputs=[output])
        classes = [text if isinstance(text, bytes) else text.encode() for text in result.as_numpy("output")]
        assert classes == [b"4.000000:1:dog", b"1.000000:2"], classes


def shares_memory(client):
    key = f"/signet-test-{uuid.uuid4()}"
    values = np.array([1, 2, 3, 4], dtype=np.float32)
    region = shm.create_shared_memory_region("both", key, 64)
    try:
        shm.set_shared_memory_region(region, [values])
        client.unregister_system_shared_memory(headers=client_headers)
        client.register_system_shared_memory("both", key, 64, headers=client_headers)
        assert [each["name"] for each in client.get_system_shared_memory_status(headers=client_headers)] == ["both"]
        given = httpclient.InferInput("input", [4], "FP32")
        given.set_shared_memory("both", 16)
        wanted = httpclient.InferRequestedOutput("output")
        wanted.set_shared_memory("both", 16, offset=32)
        result = infer(client, "floats", [given], outputs=[wanted])
        assert result.get_output("output")["parameters"]["shared_memory_byte_size"] == 16
        np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.float32, [4], offset=32), values)
        client.unregister_system_shared_memory("both", headers=client_headers)
        assert status_of(lambda: infer(client, "floats", [given])) == "404"
    finally:
        shm.destroy_shared_memory_region(region)
    assert client.get_cuda_shared_memory_status(headers=client_headers) == []
    client.unregister_cuda_shared_memory(headers=client_headers)


def counts(client):
    before = client.get_inference_statistics("floats", headers=client_headers)["model_stats"][0]
    infer(client, "floats", [floats(1)])
    after = client.get_inference_statistics("floats", headers=client_headers)["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert len(client.get_inference_statistics(headers=client_headers)["model_stats"]) == 3


def unloads_and_loads(client):
    states = lambda: {model["name"]: model["state"] for model in client.get_model_repository_index(headers=operator)}
    assert set(states().values()) == {"READY"}
    client.unload_model("words", headers=operator)
    assert states()["words"] == "UNAVAILABLE"
    assert not client.is_model_ready("words", headers=client_headers)
    client.load_model("words", headers=operator)
    assert client.is_model_ready("words", headers=client_headers)
    assert status_of(lambda: client.load_model("words", config="{}", headers=operator)) == "400"
    assert status_of(lambda: client.unload_model("words", headers=client_headers)) == "403"


def changes_settings(client):
    assert client.update_log_settings({"log_verbose_level": 1}, headers=operator)["log_verbose_level"] == 1
    assert client.get_log_settings(headers=operator)["log_info"] is True
    client.update_log_settings({"log_verbose_level": 0}, headers=operator)
    changed = client.update_trace_settings("floats", {"trace_rate": "5", "trace_level": ["OFF"]}, headers=operator)
    assert changed["trace_rate"] == "5" and changed["trace_level"] == ["OFF"]
    assert client.get_trace_settings("floats", headers=operator)["trace_rate"] == "5"
    assert client.update_trace_settings("floats", {"trace_rate": None}, headers=operator)["trace_rate"] == "1000"


def fails_clearly(client):
    assert status_of(lambda: client.infer("floats", [floats(1)])) == "401"
    assert status_of(lambda: infer(client, "nobody", [floats(1)])) == "404"
    wrong = tensor(np.array([1], dtype=np.int32), "INT32")
    assert status_of(lambda: infer(client, "floats", [wrong])) == "400"


async def infers_beside_each_other(client):
    results = await asyncio.gather(*(infer(client, "floats", [floats(n)]) for n in range(20)))
    assert [result.as_numpy("output")[0] for result in results] == list(range(20))
    assert (await client.get_model_metadata("floats", headers=client_headers))["name"] == "floats"


async def fails_asynchronously(client):
    try:
        await infer(client, "nobody", [floats(1)])
    except InferenceServerException as error:
        assert "unknown model: 'nobody'" in error.message()
    else:
        raise AssertionError("expected a failure")


async def run_aio():
    async with aioclient.InferenceServerClient(address) as client:
        for act in (infers_beside_each_other, fails_asynchronously):
            await act(client)
            print(act.__name__)


def run_sync():
    with httpclient.InferenceServerClient(address, concurrency=4) as client:
        for act in (
            *(tells_of_itself, infers_in_binary, infers_in_json, keeps_every_digit, infers_text),
            *(infers_asynchronously, compresses, classifies, shares_memory, counts),
            *(unloads_and_loads, changes_settings, fails_clearly),
        ):
            act(client)
            print(act.__name__)


asyncio.run(run_aio()) if mode == "aio" else run_sync()
