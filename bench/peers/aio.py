"""The Python peer: grpc.aio with the messages of tritonclient, as inference servers written in Python have it.

Answers ModelInfer and ModelStreamInfer of the first input with the same bytes. Prints its address as JSON on stderr.
"""

import asyncio
import json
import sys

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


def answer(request):
    tensor = request.inputs[0]
    output = service_pb2.ModelInferResponse.InferOutputTensor(
        name="output", datatype=tensor.datatype, shape=tensor.shape
    )
    return service_pb2.ModelInferResponse(
        model_name=request.model_name,
        model_version="1",
        id=request.id,
        outputs=[output],
        raw_output_contents=request.raw_input_contents,
    )


class Identity(service_pb2_grpc.GRPCInferenceServiceServicer):
    async def ModelInfer(self, request, context):
        return answer(request)

    async def ModelStreamInfer(self, requests, context):
        async for request in requests:
            yield service_pb2.ModelStreamInferResponse(infer_response=answer(request))


async def main():
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=unlimited)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Identity(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"msg": "serving", "address": f"127.0.0.1:{port}"}), file=sys.stderr, flush=True)
    await server.wait_for_termination()


asyncio.run(main())
