"""Sends the cases of the conformance table with Triton's Python client as it comes from PyPI.

Arguments: grpc or http, and a file with the address, the tokens and the steps of the cases. Prints what came of each
step, as JSON, with bytes as {"$bytes": base64}.
"""

import base64
import json
import queue
import sys

import numpy as np
from tritonclient.utils import (
    InferenceServerException,
    deserialize_bytes_tensor,
    serialize_byte_tensor,
    triton_to_np_dtype,
)

kind, file = sys.argv[1:3]
is_grpc = kind == "grpc"
if is_grpc:
    import tritonclient.grpc as triton
else:
    import tritonclient.http as triton

with open(file) as opened:
    given = json.load(opened)
tokens = given["tokens"]


def bytes_in(value):
    return base64.b64decode(value["$bytes"])


def plain(parameters):
    """Parameters without their kinds."""
    return {name: next(iter(kinds.values()), None) for name, kinds in parameters.items()}


def tensor(described, raw):
    shape = [int(size) for size in described["shape"]]
    datatype = described["datatype"]
    made = triton.InferInput(described["name"], shape, datatype)
    own = plain(described.get("parameters", {}))
    if "shared_memory_region" in own:
        made.set_shared_memory(own["shared_memory_region"], own["shared_memory_byte_size"])
        return made
    data = bytes_in(raw.pop(0))
    if datatype == "BYTES":
        array = deserialize_bytes_tensor(data).reshape(shape)
    else:
        array = np.frombuffer(data, dtype=triton_to_np_dtype(datatype)).reshape(shape)
    made.set_data_from_numpy(array)
    return made


def wanted(described):
    own = plain(described.get("parameters", {}))
    return triton.InferRequestedOutput(described["name"], class_count=own.pop("classification", 0))


def infer_options(request):
    """What infer() and async_stream_infer() take."""
    raw = list(request.get("raw_input_contents", []))
    own = plain(request.get("parameters", {}))
    known = {name: own.pop(name) for name in ("priority", "timeout", "sequence_id") if name in own}
    outputs = request.get("outputs")
    return {
        "model_name": request["model_name"],
        "model_version": request.get("model_version", ""),
        "request_id": request.get("id", ""),
        "inputs": [tensor(described, raw) for described in request.get("inputs", [])],
        "outputs": None if outputs is None else [wanted(described) for described in outputs],
        "parameters": own or None,
        **known,
    }


def encoded(data):
    return {"$bytes": base64.b64encode(data).decode()}


def answer_of(result):
    """An inference's, in the words of the .proto file."""
    if is_grpc:
        response = result.get_response()
        return {
            "model_name": response.model_name,
            "model_version": response.model_version,
            "id": response.id,
            "parameters": {
                name: {each.WhichOneof("parameter_choice"): getattr(each, each.WhichOneof("parameter_choice"))}
                for name, each in response.parameters.items()
            },
            "outputs": [
                {"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in response.outputs
            ],
            "raw_output_contents": [encoded(raw) for raw in response.raw_output_contents],
        }
    response = result.get_response()
    raw = []
    for output in response["outputs"]:
        array = result.as_numpy(output["name"])
        is_text = output["datatype"] == "BYTES"
        raw.append(encoded(serialize_byte_tensor(array).item() if is_text and array.size else array.tobytes()))
    return {**response, "raw_output_contents": raw}


def stream(client, requests, headers):
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    for request in requests:
        client.async_stream_infer(**infer_options(request))
    client.stop_stream()
    found = []
    while not answers.empty():
        result, error = answers.get()
        if error is None:
            found.append({"error_message": "", "infer_response": answer_of(result)})
        else:
            found.append({"error_message": str(error)})
    return found




def logged(found):
    if is_grpc:
        return found
    kinds = {bool: "bool_param", int: "uint32_param", str: "string_param"}
    return {"settings": {name: {kinds[type(value)]: value} for name, value in found.items()}}


def traced(found):
    if is_grpc:
        return found
    return {"settings": {name: {"value": value if isinstance(value, list) else [value]} for name, value in found.items()}}


def perform(client, step):
    request = step.get("request", {})
    call = step["call"]
    token = tokens[step.get("as", "client")]
    headers = {**step.get("headers", {}), **({} if token is None else {"authorization": f"Bearer {token}"})}
    common = {"headers": headers}
    as_json = {**common, "as_json": True} if is_grpc else common
    named = (request.get("name", ""), request.get("version", "")) if isinstance(request, dict) else ()
    if call == "ModelInfer":
        late = {"client_timeout": step["timeoutMs"] / 1000} if "timeoutMs" in step else {}
        return answer_of(client.infer(**infer_options(request), **late, **common))
    if call == "ModelStreamInfer":
        return stream(client, request, headers)
    if call == "ServerLive":
        return {"live": client.is_server_live(**common)}
    if call == "ServerReady":
        return {"ready": client.is_server_ready(**common)}
    if call == "ModelReady":
        return {"ready": client.is_model_ready(*named, **common)}
    if call == "ServerMetadata":
        return client.get_server_metadata(**as_json)
    if call == "ModelMetadata":
        return client.get_model_metadata(*named, **as_json)
    if call == "ModelConfig":
        found = client.get_model_config(*named, **as_json)
        return found if is_grpc else {"config": found}
    if call == "ModelStatistics":
        return client.get_inference_statistics(*named, **as_json)
    if call == "RepositoryIndex":
        found = client.get_model_repository_index(**as_json)
        return found if is_grpc else {"models": found}
    if call == "RepositoryModelLoad":
        return client.load_model(request["model_name"], **common) or {}
    if call == "RepositoryModelUnload":
        return client.unload_model(request["model_name"], **common) or {}
    if call == "SystemSharedMemoryStatus":
        found = client.get_system_shared_memory_status(named[0], **as_json)
        return found if is_grpc else {"regions": {each["name"]: each for each in found}}
    if call == "SystemSharedMemoryRegister":
        place = (request["name"], request["key"], int(request["byte_size"]), int(request["offset"]))
        return client.register_system_shared_memory(*place, **common) or {}
    if call == "SystemSharedMemoryUnregister":
        return client.unregister_system_shared_memory(named[0], **common) or {}
    if call == "CudaSharedMemoryStatus":
        client.get_cuda_shared_memory_status(**as_json)
        return {}
    if call == "CudaSharedMemoryRegister":
        return client.register_cuda_shared_memory(request["name"], b"", 0, request["byte_size"], **common) or {}
    if call == "CudaSharedMemoryUnregister":
        return client.unregister_cuda_shared_memory(**common) or {}
    if call == "LogSettings":
        values = plain(request["settings"])
        return logged(
            client.update_log_settings(values, **as_json) if values else client.get_log_settings(**as_json)
        )
    if call == "TraceSetting":
        model = request.get("model_name") or None
        values = {name: each["value"] or None for name, each in request["settings"].items()}
        return traced(
            client.update_trace_settings(model, values, **as_json)
            if values
            else client.get_trace_settings(model, **as_json)
        )
    raise ValueError(f"no such call: {call}")


def outcome(client, step):
    try:
        return {"answer": perform(client, step)}
    except InferenceServerException as error:
        status = (error.status() or "none").removeprefix("StatusCode.")
        return {"fails": {"status": status if is_grpc else int(status), "code": None, "words": error.message() or ""}}


client = triton.InferenceServerClient(given["address"])
outcomes = [[outcome(client, step) for step in steps] for steps in given["cases"]]
client.close()
print(json.dumps(outcomes))
