"""Reads a scrape from standard input, and writes its families as JSON.

The argument is the format: "text" and "openmetrics" are read by Prometheus' Python client, "protobuf" by a program that
protoc makes from the published metrics.proto.

With "mutations", it makes each of the mutations of a scrape in protobuf, reads it, and writes a list: the mutation's
name, the bytes in base64, and the families, or why they are refused.
"""

import base64
import json
import math
import sys

import prometheus_client.openmetrics.parser
import prometheus_client.parser

import mutations
import protobuf


def bound(text):
    """A bucket's bound as a number: the formats write it differently."""
    return repr(float(text))


def labels_of(labels):
    return [[name, bound(value) if name == "le" else value] for name, value in labels]


def exemplar_of(exemplar):
    return exemplar and [exemplar.labels, exemplar.value, float(exemplar.timestamp)]


def read_text(parser, text):
    for family in parser(text):
        samples = [
            [sample.name, labels_of(sample.labels.items()), sample.value, exemplar_of(sample.exemplar)]
            for sample in family.samples
        ]
        head = {"name": family.name, "help": family.documentation, "type": family.type, "unit": family.unit}
        yield {**head, "samples": samples}


def in_text(family):
    """The family as the text formats show it, plus what only protobuf has."""
    name, kind = family.name, protobuf.FIELDS[family.type]
    base = name[: -len("_total")] if kind == "counter" else name
    head = {"name": base, "help": family.help, "type": kind, "unit": family.unit}
    found = {**head, "samples": [], "native": [], "created": []}
    for metric in family.metric:
        labels = [[pair.name, pair.value] for pair in metric.label]
        if kind == "histogram":
            found["samples"] += histogram_in_text(name, labels, metric.histogram)
            found["native"] += [[labels, native_of(metric.histogram)]]
        else:
            value = getattr(metric, kind)
            exemplar = kind == "counter" and protobuf_exemplar(value)
            found["samples"].append([name, labels, value.value, exemplar or None])
        if kind != "gauge" and not protobuf.is_of_network(family):
            began = getattr(metric, kind).created_timestamp
            found["created"].append([labels, began.seconds + began.nanos / 1e9])
    return found


def histogram_in_text(name, labels, histogram):
    buckets = [(bucket.upper_bound, bucket.cumulative_count, protobuf_exemplar(bucket)) for bucket in histogram.bucket]
    if not buckets or not math.isinf(buckets[-1][0]):
        buckets.append((math.inf, histogram.sample_count, None))
    for upper_bound, count, exemplar in buckets:
        yield [name + "_bucket", labels + [["le", repr(upper_bound)]], float(count), exemplar]
    yield [name + "_sum", labels, histogram.sample_sum, None]
    yield [name + "_count", labels, float(histogram.sample_count), None]


def protobuf_exemplar(value):
    if not value.HasField("exemplar"):
        return None
    exemplar = value.exemplar
    at = exemplar.timestamp.seconds + exemplar.timestamp.nanos / 1e9
    return [{pair.name: pair.value for pair in exemplar.label}, exemplar.value, at]


def native_of(histogram):
    """The zero bucket's bound and count, the schema, and each bucket's index and count. None if it is only classic."""
    if histogram.zero_threshold == 0:
        return None
    buckets, index, count, deltas = [], 0, 0, iter(histogram.positive_delta)
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            buckets.append([index, count])
            index += 1
    zero = [histogram.zero_threshold, histogram.zero_count]
    return {"zero": zero, "schema": histogram.schema, "buckets": buckets}


def read_protobuf(body):
    families = protobuf.decode(body)
    protobuf.check(families)
    return [in_text(family) for family in families]


def read_mutation(body):
    try:
        return {"Ok": read_protobuf(body)}
    except Exception as error:
        return {"Err": f"{type(error).__name__}: {error}"}


def main(what):
    # Not sys.stdin itself, because text mode would convert "\r\n" and "\r" to "\n".
    body = sys.stdin.buffer.read()
    if what == "protobuf":
        found = read_protobuf(body)
    elif what == "mutations":
        made = mutations.mutations(body)
        found = [[name, base64.b64encode(changed).decode(), read_mutation(changed)] for name, changed in made]
    else:
        parsers = {"text": prometheus_client.parser, "openmetrics": prometheus_client.openmetrics.parser}
        found = list(read_text(parsers[what].text_string_to_metric_families, body.decode()))
    json.dump(found, sys.stdout, allow_nan=False)


main(sys.argv[1])
