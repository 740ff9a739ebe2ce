"""Reads a scrape from the standard input as Prometheus' Python client does, and writes what it found as JSON.

With the argument "openmetrics", in that format. Each sample has its exemplar too, or null.
"""

import json
import sys

import prometheus_client.openmetrics.parser
import prometheus_client.parser

# Not sys.stdin itself: in text mode it would turn "\r\n" and "\r" into "\n" before the parser sees them.
text = sys.stdin.buffer.read().decode("utf-8")
if sys.argv[1:] == ["openmetrics"]:
    families = prometheus_client.openmetrics.parser.text_string_to_metric_families(text)
else:
    families = prometheus_client.parser.text_string_to_metric_families(text)


def exemplar(sample):
    found = sample.exemplar
    return found and [found.labels, found.value, float(found.timestamp)]


samples = [sample for family in families for sample in family.samples]
json.dump([[sample.name, sample.labels, sample.value, exemplar(sample)] for sample in samples], sys.stdout)
