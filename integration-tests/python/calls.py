"""Calls a server with gRPC's C core, as Python, C++, Ruby and PHP do.

calls.py TARGET: prints, as JSON, what the calls of each kind gave. Messages are
bytes.
"""

import json
import sys

import grpc

FIRST = bytes([0x08, 1, 0x48, 1])  # GetFlowsRequest: number 1, first
NO_MATCH = bytes([0x32, 7, 0xEA, 0x01, 4]) + b"none"  # whitelist: uuid "none"
FLOW = bytes([0x0A, 9, 0x92, 0x02, 6]) + b"by-hand"[:6]  # RecordFlowsRequest: a flow with a uuid
SERVICE = b"hubble.server.Observer"


def main(target):
    with grpc.insecure_channel(target) as channel:
        status = channel.unary_unary("/observer.Observer/ServerStatus")
        flows = channel.unary_stream("/observer.Observer/GetFlows")
        record = channel.stream_unary("/sextant.flow.v1.FlowService/RecordFlows")
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        # More calls than the table of header compression has room for.
        metadata = lambda n: [("x-note", "n" * 50 + str(n))]
        calls = [len(status(b"", metadata=metadata(n))) for n in range(200)]
        try:
            recorded = record(iter([FLOW, FLOW])).hex()
        except grpc.RpcError as error:
            recorded = error.code().name
        assert not list(flows(NO_MATCH))
        print(
            json.dumps(
                {
                    "status": min(calls),
                    "health": health(bytes([0x0A, len(SERVICE)]) + SERVICE).hex(),
                    "recorded": recorded,
                    "first": len(list(flows(FIRST))),
                }
            )
        )


main(*sys.argv[1:])
