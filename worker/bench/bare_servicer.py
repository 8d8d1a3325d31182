"""The reference of `clf bench grpc`: a plain grpcio servicer, as generated code makes one, that returns a constant.

What it does a second is what Python's gRPC allows at all. Run as `python -m worker.bench.bare_servicer REPLY`; that
is a file with a `clf.v1.Classification`. It prints its port.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from schemas import classifier_pb2

_THREADS = 4


def main(reply_file: str) -> None:
    """Serve until the process is ended."""
    reply = classifier_pb2.Classification.FromString(Path(reply_file).read_bytes())

    def classify(request: classifier_pb2.Document, context: grpc.ServicerContext) -> classifier_pb2.Classification:
        del request, context
        return reply

    handler = grpc.unary_unary_rpc_method_handler(
        classify,
        request_deserializer=classifier_pb2.Document.FromString,
        response_serializer=classifier_pb2.Classification.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    server.add_registered_method_handlers("clf.v1.Classifier", {"Classify": handler})
    sys.stdout.write(f"{server.add_insecure_port('127.0.0.1:0')}\n")
    sys.stdout.flush()
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
