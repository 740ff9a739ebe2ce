"""Decodes Prometheus' protobuf format with a program made from the published metrics.proto, and checks its rules.

https://prometheus.io/docs/instrumenting/exposition_formats/#protobuf-format
https://prometheus.io/docs/specs/native_histograms/
"""

import importlib
import math
import os
import re
import subprocess
import sys
import tempfile
import time

from google.protobuf.internal.decoder import _DecodeVarint32
from google.protobuf.internal.encoder import _VarintBytes

# From Debian's golang-github-prometheus-client-model-dev.
PUBLISHED = "/usr/share/gocode/src/github.com/prometheus/client_model/io/prometheus/client/metrics.proto"

# Fields that Debian 12's release lacks.
NEWER = {
    "Counter": "optional google.protobuf.Timestamp created_timestamp = 3;",
    "Histogram": "optional google.protobuf.Timestamp created_timestamp = 15; repeated Exemplar exemplars = 16;",
    "MetricFamily": "optional string unit = 5;",
}

# The field of a metric of each type.
FIELDS = {0: "counter", 1: "gauge", 4: "histogram"}


def compile_published():
    """The module that protoc makes."""
    with open(PUBLISHED) as file:
        text = file.read()
    if "created_timestamp" not in text:
        for message, fields in NEWER.items():
            text = text.replace(f"message {message} {{", f"message {message} {{ {fields}", 1)
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "metrics.proto"), "w") as file:
            file.write(text)
        subprocess.run(["protoc", "--python_out=.", "metrics.proto"], cwd=directory, check=True)
        sys.path.insert(0, directory)
        return importlib.import_module("metrics_pb2")


metrics = compile_published()


def decode(body):
    """The families of a scrape. Refuses what a decoder would overlook."""
    families, position = [], 0
    while position < len(body):
        length, start = _DecodeVarint32(body, position)
        assert _VarintBytes(length) == body[position:start], "the length is not written in its shortest form"
        position = start + length
        assert position <= len(body), f"the last family has {len(body) - start} bytes, and not {length}"
        family = metrics.MetricFamily.FromString(body[start:position])
        known = metrics.MetricFamily()
        known.CopyFrom(family)
        known.DiscardUnknownFields()
        assert known.ByteSize() == family.ByteSize(), f"{family.name} has unknown fields"
        families.append(family)
    return families


def encode(families):
    bodies = [family.SerializePartialToString() for family in families]
    return b"".join(_VarintBytes(len(body)) + body for body in bodies)


def check(families):
    """Fails for what Prometheus (2.42 to 3) refuses or misunderstands, and for what is ambiguous."""
    names = [family.name for family in families]
    assert len(set(names)) == len(names), f"a family occurs twice: {names}"
    for family in families:
        try:
            check_family(family)
        except AssertionError as error:
            raise AssertionError(f"{family.name}: {error}") from None


def check_family(family):
    assert re.fullmatch("[a-z_:][a-z0-9_:]*", family.name), "invalid name"
    assert family.help and family.HasField("type") and family.type in FIELDS, "no help or type"
    assert (family.type == 0) == family.name.endswith("_total"), "only counters end with _total"
    base = family.name[: -len("_total")] if family.type == 0 else family.name
    assert not family.unit or base.endswith("_" + family.unit), f"the unit {family.unit} is not at the end"
    assert family.metric, "no metrics"
    series = [tuple((pair.name, pair.value) for pair in metric.label) for metric in family.metric]
    assert len(set(series)) == len(series), "a series occurs twice"
    for labels, metric in zip(series, family.metric):
        names = [name for name, _ in labels]
        assert names == [label.name for label in family.metric[0].label], "the rows have different labels"
        assert len(set(names)) == len(names) and "le" not in names, "a label occurs twice"
        fields = {descriptor.name for descriptor, _ in metric.ListFields()}
        assert fields - {"label"} == {FIELDS[family.type]}, f"{fields} of type {family.type}"
        check_metric(getattr(metric, FIELDS[family.type]), family)
    if family.type == 4:
        kinds = {(metric.histogram.HasField("schema"), metric.histogram.zero_threshold) for metric in family.metric}
        assert len(kinds) == 1, f"different histograms in one family: {kinds}"


def is_of_network(family):
    """Whether it counts for the network namespace, since before the process."""
    return family.name.startswith("process_network_")


def check_metric(metric, family):
    kind = family.type
    if is_of_network(family):
        assert not metric.HasField("created_timestamp"), "it began before the process"
    elif kind != 1:
        began = metric.created_timestamp
        assert metric.HasField("created_timestamp") and began.seconds > 0, "it does not say when it began"
        assert 0 <= began.nanos < 1e9 and began.ToNanoseconds() <= time.time_ns(), f"it begins in the future: {began}"
    if kind == 4:
        check_histogram(metric)
    else:
        assert metric.HasField("value"), "no value"
        assert kind == 1 or 0 <= metric.value < math.inf, f"a counter of {metric.value}"


def check_histogram(histogram):
    for field in ["sample_count", "sample_sum"]:
        assert histogram.HasField(field), f"no {field}"
    # Counts that are floats, observations below 0, and exemplars that would hide those of the buckets.
    floats = {"sample_count_float", "zero_count_float", "positive_count"}
    others = {"negative_span", "negative_delta", "exemplars"}
    found = {descriptor.name for descriptor, _ in histogram.ListFields()} & (floats | others)
    assert not found, f"it has {found}"
    check_classic(histogram)
    if histogram.HasField("schema") or histogram.zero_threshold or histogram.positive_span or not histogram.bucket:
        check_native(histogram)


def check_classic(histogram):
    lower, below = -math.inf, 0
    for bucket in histogram.bucket:
        assert bucket.HasField("cumulative_count") and not bucket.HasField("cumulative_count_float")
        assert lower < bucket.upper_bound, "the bounds do not rise"
        assert below <= bucket.cumulative_count <= histogram.sample_count, "the cumulative counts do not rise"
        if bucket.HasField("exemplar"):
            exemplar = bucket.exemplar
            assert exemplar.HasField("timestamp"), "an exemplar without its time"
            assert lower < exemplar.value <= bucket.upper_bound, f"an exemplar of {exemplar.value} in another bucket"
            assert bucket.cumulative_count > below, "an exemplar in an empty bucket"
        lower, below = bucket.upper_bound, bucket.cumulative_count
    assert lower != math.inf or below == histogram.sample_count, "the bucket +Inf is not the count"


def check_native(histogram):
    assert histogram.schema == 3 and histogram.HasField("zero_count"), "no schema or zero_count"
    # Prometheus 2.42 recognizes an empty native histogram by its threshold. Other readers also need a span.
    assert 0 < histogram.zero_threshold, "it is not recognized as native"
    assert histogram.positive_span or histogram.zero_count, "an empty one is not recognized as native"
    spans, deltas = histogram.positive_span, histogram.positive_delta
    assert all(span.HasField("offset") and span.HasField("length") for span in spans), "a span lacks a field"
    assert all(span.offset >= 0 for span in spans[1:]), "a span begins before the end of the previous one"
    assert sum(span.length for span in spans) == len(deltas), "the spans do not match the deltas"
    count, counts = 0, []
    for delta in deltas:
        count += delta
        counts.append(count)
    assert all(count >= 0 for count in counts), "a bucket has a negative count"
    assert sum(counts) + histogram.zero_count == histogram.sample_count, "the buckets do not add up to the count"
    lowest = 2 ** ((spans[0].offset - 1) / 2**histogram.schema) if counts else math.inf
    assert histogram.zero_threshold <= lowest, "the zero bucket overlaps with another"
