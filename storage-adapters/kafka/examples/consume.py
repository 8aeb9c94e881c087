#!/usr/bin/env python3
"""Reads events from the topic of events, one JSON object a line.

    pip install confluent-kafka protobuf grpcio-tools
    consume.py HOST:PORT [--topic sluice.events] [--group NAME] [--to-end]

An event that stands in the topic twice (a client resent it while a gateway did
not know whether it was written) is printed once: the first one in its partition
counts. With --group the place is kept in Kafka: a line is printed before its
record is committed, so that after a crash some may come again, with the same
`key`. Without, it reads from the first record kept, and keeps nothing.
"""

import argparse
import base64
import importlib
import json
import pathlib
import sys
import tempfile
from collections import OrderedDict

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException
from google.protobuf.json_format import MessageToDict
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
KEYS_MAX = 1_000_000  # remembered for each partition, about 150 MB


def record_class():
    """`BatchRecord`, from the .proto files."""
    out = tempfile.mkdtemp(prefix="sluice-proto-")
    files = [str(PROTO / "sluice/v1" / name) for name in ("event.proto", "record.proto")]
    if protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", *files]) != 0:
        sys.exit(f"consume: the .proto files in {PROTO} could not be compiled")
    sys.path.insert(0, out)
    return importlib.import_module("sluice.v1.record_pb2").BatchRecord


class FirstOnes:
    """Which keys were there before, by partition."""

    def __init__(self):
        self.seen = {}

    def is_first(self, partition, key):
        seen = self.seen.setdefault(partition, OrderedDict())
        if key in seen:
            return False
        seen[key] = None
        if len(seen) > KEYS_MAX:
            seen.popitem(last=False)
        return True

    def forget(self, partition):
        self.seen.pop(partition, None)


def lines(message, record, firsts):
    """The events of one record that were not there before."""
    envelope = MessageToDict(record.envelope, preserving_proto_field_name=True)
    for item in record.events:
        if not firsts.is_first(message.partition(), item.key):
            continue
        event = MessageToDict(item.event, preserving_proto_field_name=True)
        if item.event.properties:
            event["properties"] = json.loads(item.event.properties)
        yield {
            "key": item.key.hex(),
            "partition": message.partition(),
            "offset": message.offset(),
            "received_at": record.received_at,
            "source": record.source,
            "time_corrected": item.time_corrected,
            "day": item.day,
            "flags": item.flags,
            "event": event,
            "envelope": envelope,
        }


def consumer(arguments):
    return Consumer({
        "bootstrap.servers": arguments.brokers,
        "group.id": arguments.group or "sluice-example",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "partition.assignment.strategy": "cooperative-sticky",
    })


def follow(reads, arguments, batch_record):
    firsts, at_end, held = FirstOnes(), set(), set()

    def assigned(_, partitions):
        held.update(it.partition for it in partitions)
        if not arguments.group:
            for it in partitions:
                it.offset = OFFSET_BEGINNING
            reads.incremental_assign(partitions)

    def revoked(_, partitions):
        for it in partitions:
            held.discard(it.partition)
            firsts.forget(it.partition)

    reads.subscribe([arguments.topic], on_assign=assigned, on_revoke=revoked, on_lost=revoked)
    while not (arguments.to_end and held and held <= at_end):
        message = reads.poll(1.0)
        if message is None:
            continue
        error = message.error()
        if error and error.code() == KafkaError._PARTITION_EOF:
            at_end.add(message.partition())
            continue
        if error and (error.fatal() or not error.retriable()):
            raise KafkaException(error)
        if error:
            continue
        try:
            record = batch_record.FromString(message.value())
        except Exception as problem:  # a record of somebody else: say so, stop
            text = base64.b64encode(message.value()[:64]).decode()
            sys.exit(f"consume: {message.partition()}:{message.offset()} {problem}: {text}")
        for line in lines(message, record, firsts):
            print(json.dumps(line, ensure_ascii=False))
        if arguments.group:
            sys.stdout.flush()
            reads.commit(message, asynchronous=True)


def main():
    parser = argparse.ArgumentParser(description="Prints the events of the topic, one a line.")
    parser.add_argument("brokers", metavar="HOST:PORT")
    parser.add_argument("--topic", default="sluice.events")
    parser.add_argument("--group", help="keep the place under this name, shared by its members")
    parser.add_argument("--to-end", action="store_true", help="stop at the end of the topic")
    arguments = parser.parse_args()
    reads = consumer(arguments)
    try:
        follow(reads, arguments, record_class())
    except KeyboardInterrupt:
        pass
    finally:
        reads.close()


if __name__ == "__main__":
    main()
